"""A public address for the server through Cloudflare's own program, cloudflared."""
