# The formula for a Homebrew tap. The release workflow fills in what stands between @ signs.
class CodexOpenaiProxy < Formula
  desc "OpenAI-compatible HTTP server on top of your own logged-in Codex CLI"
  homepage "https://github.com/@REPOSITORY@"
  url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/codex_openai_proxy-@VERSION@.tar.gz"
  sha256 "@SDIST_SHA256@"
  license "MIT"

  depends_on "python@3.13"

  # The lock pins every package by its hash, the Codex CLI included.
  def install
    system Formula["python@3.13"].opt_bin/"python3.13", "-m", "venv", libexec
    pip = libexec/"bin/pip"
    system pip, "install", "--no-deps", "--require-hashes", "--requirement", "requirements.lock"
    system pip, "install", "--no-deps", "--no-build-isolation", "."
    bin.install_symlink libexec/"bin/codex-openai-proxy"
  end

  service do
    run [opt_bin/"codex-openai-proxy", "serve"]
    keep_alive crashed: true
    environment_variables PATH: std_service_path_env
    log_path var/"log/codex-openai-proxy.log"
    error_log_path var/"log/codex-openai-proxy.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/codex-openai-proxy --version")
  end
end
