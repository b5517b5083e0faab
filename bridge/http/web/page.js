// The status page: shows /usage every two seconds, /doctor on request, and streams a chat in the try-it box.

import { showAgents } from "/page/agents.js";
import { draw, drawDays } from "/page/chart.js";
import { ago, byId, duration, make, number, percent, span, windowName } from "/page/words.js";

const EVERY = 2000, SPAN = 600, STEP = 10, DAYS = 30, DAYS_EVERY = 20000, MOST_KEYS = 8;
let key = sessionStorage.getItem("api-key") ?? "";
let started = false, days = [], daysRead = -Infinity;

class Refused extends Error {}
class Foreign extends Error {}

async function ask(path, options = {}) {
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401 && (await response.clone().json()).error?.code === "invalid_api_key") throw new Refused();
  return response;
}

// ── /usage ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function showState(usage) {
  const { codex, account } = usage;
  const ready = codex.state === "up" && account.ready;
  const state = byId("state");
  state.textContent = codex.state !== "up" ? `Codex is ${codex.state}` : account.ready ? "ready" : "not logged in";
  state.className = `pill ${ready ? "good" : codex.state === "starting" ? "warn" : "bad"}`;
  const plan = account.plan ? ` ${account.plan[0].toUpperCase()}${account.plan.slice(1)}` : "";
  const kinds = { chatgpt: `ChatGPT${plan}`, apiKey: "OpenAI API key" };
  byId("account").textContent = account.ready ? (kinds[account.type] ?? account.type ?? "own model provider") : "run codex-openai-proxy login";
  byId("version").textContent = codex.version ?? codex.reason ?? "";
}

function showNumbers(usage) {
  const { today } = usage;
  byId("requests").textContent = number.format(today.requests);
  byId("tokens").textContent = `${number.format(today.input_tokens)} / ${number.format(today.output_tokens)}`;
  byId("cached").textContent = percent(today.cache_share);
  const firsts = usage.recent.map((entry) => entry.first_token_seconds).filter((it) => it != null).sort((a, b) => a - b);
  byId("first").textContent = duration(firsts[Math.floor(firsts.length / 2)]);
}

function meter(name, words, detail, share) {
  const text = make("p", {}, make("span", {}, words), make("span", {}, detail));
  if (share == null) return make("div", { className: "window" }, text);
  const used = Math.min(100, share), fill = make("i");
  fill.style.width = `${used}%`;
  const bar = make("div", { className: `bar ${used >= 90 ? "bad" : used >= 70 ? "warn" : ""}`, role: "meter" }, fill);
  bar.ariaLabel = name;
  bar.ariaValueNow = used;
  return make("div", { className: "window" }, text, bar);
}

function showKeys(keys) {
  byId("keys-card").hidden = !keys.length;
  const byUse = [...keys].sort((one, other) => other.tokens_today - one.tokens_today);
  const meters = byUse.slice(0, MOST_KEYS).map((key) => {
    const most = key.tokens_per_day, used = number.format(key.tokens_today);
    const words = most ? `${key.name}: ${used} of ${number.format(most)} tokens today` : `${key.name}: ${used} tokens today`;
    const ends = key.expires ? `expires in ${span(key.expires - Date.now() / 1000)}` : "";
    return meter(key.name, words, ends, most ? (100 * key.tokens_today) / most : null);
  });
  const more = keys.length - meters.length;
  byId("keys").replaceChildren(...meters, ...(more ? [make("p", { className: "note" }, `and ${more} more`)] : []));
}

function showQuota(limits) {
  const windows = limits.flatMap((limit) => [limit.primary, limit.secondary].filter(Boolean).map((it) => [limit, it]));
  const shown = windows.map(([limit, it]) => {
    const name = limits.length > 1 ? `${limit.name ?? limit.limit}, ${windowName(it.window_minutes)}` : windowName(it.window_minutes);
    const reset = it.resets_at ? `resets in ${span(it.resets_at - Date.now() / 1000)}` : "";
    return meter(name, `${name}: ${Math.min(100, it.used_percent)} % used`, reset, it.used_percent);
  });
  byId("quota").replaceChildren(...(shown.length ? shown : [make("p", { className: "note" }, "This account reports no quota.")]));
}

function row(entry, now, keyed) {
  const running = Boolean(entry.running), good = entry.status != null && entry.status < 400 && !entry.error;
  const words = running ? "running" : entry.error ?? (good ? "done" : entry.status == null ? "client left" : String(entry.status));
  const badge = make("span", { className: `badge ${running ? "running" : good ? "good" : "bad"}` }, words);
  const thread = (entry.thread ?? "–").split(";")[0];
  const cells = [
    [entry.model ?? "–"], ...(keyed ? [[entry.key ?? "–", "soft"]] : []), [thread, "soft"], [duration(entry.first_token_seconds), "n"], [duration(entry.seconds), "n"],
    [`${number.format(entry.input_tokens)} / ${number.format(entry.output_tokens)}`, "n"], [percent(entry.cache_share), "n"],
    [badge], [ago(now - entry.began), "n soft"],
  ];
  const built = make("tr", {}, ...cells.map(([content, className = ""]) => make("td", { className }, content)));
  if (entry.thread) built.children[keyed ? 2 : 1].title = entry.thread;
  return built;
}

function showEntries(usage, now) {
  const entries = [...usage.running.filter((it) => it.model).map((it) => ({ ...it, running: true })), ...usage.recent].slice(0, 12);
  const keyed = usage.keys?.length > 0 || entries.some((entry) => entry.key);
  byId("key-head").hidden = !keyed;
  byId("entries").replaceChildren(...entries.map((entry) => row(entry, now, keyed)));
  byId("no-entries").hidden = entries.length > 0;
}

function showCharts(usage, now) {
  const ended = usage.recent.map((entry) => ({ ...entry, at: entry.began + entry.seconds }));
  const last = Math.floor(now / STEP) * STEP;
  const rates = [];
  for (let time = last - SPAN; time <= last; time += STEP) {
    const within = ended.filter((entry) => entry.at > time && entry.at <= time + STEP);
    rates.push([time, within.reduce((sum, entry) => sum + entry.input_tokens + entry.output_tokens, 0) / STEP]);
  }
  draw(byId("chart-tokens"), rates, now, SPAN, "area");
  const firsts = ended.filter((entry) => entry.first_token_seconds != null);
  draw(byId("chart-latency"), firsts.map((entry) => [entry.began, entry.first_token_seconds]), now, SPAN, "dots");
}

function showAccount(usage, now) {
  showState(usage);
  showNumbers(usage);
  showQuota(usage.quota);
  showKeys(usage.keys);
  showCharts(usage, now);
}

function showNamed(named) {
  byId("state").textContent = "ready";
  byId("state").className = "pill good";
  byId("account").textContent = `the key of ${named.name}`;
}

async function readDays() {
  const response = await ask(`/usage?days=${DAYS}`);
  const { history } = response.ok ? await response.json() : {};
  days = [];
  byId("days-card").hidden = !history?.rows.length;
  if (!history?.rows.length) return;
  const rows = new Map(history.rows.map((row) => [row.day, row]));
  for (let day = new Date(`${history.from}T12:00Z`); days.length < DAYS; day.setUTCDate(day.getUTCDate() + 1)) {
    const date = day.toISOString().slice(0, 10), row = rows.get(date);
    const values = [row?.input_tokens ?? 0, row?.output_tokens ?? 0];
    const account = row?.account_tokens == null ? "" : `\n${number.format(row.account_tokens)} tokens of the whole account`;
    const title = `${date}: ${row?.requests ?? 0} requests\n${number.format(values[0])} tokens in, ${number.format(values[1])} out${account}`;
    days.push({ label: date, values, title });
  }
  const sum = (name) => number.format(history.rows.reduce((total, row) => total + row[name], 0));
  const requests = sum("requests");
  byId("days-sum").textContent = `${requests} request${requests === "1" ? "" : "s"}, ${sum("input_tokens")} in, ${sum("output_tokens")} out`;
}

async function press(path, body) {
  const response = await ask(path, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error((await response.json()).error.message);
  await refresh();
}

// ── loaded once or on request ──────────────────────────────────────────────────────────────────────────────────────

async function showModels() {
  const names = (await (await ask("/v1/models")).json()).data.map((model) => model.id);
  byId("model").replaceChildren(...names.map((name) => make("option", {}, name)));
  const preferred = names.find((name) => name === "xedoc") ?? names.find((name) => name === "codex") ?? names[0];
  byId("model").value = preferred;
  byId("value-model").textContent = preferred;
}

function showValues(url) {
  const code = byId("value-key");
  code.textContent = key ? "•".repeat(16) : "any";
  code.dataset.value = key || "any";
  byId("value-url").textContent = url ?? location.origin;
  byId("no-tunnel").hidden = url != null;
}

async function showChecks() {
  byId("check-again").disabled = true;
  if (!byId("checks").children.length) byId("checks").replaceChildren(make("li", { className: "busy" }, make("p", {}, "checking")));
  try {
    const { checks, url } = await (await ask("/doctor")).json();
    byId("checks").replaceChildren(...checks.map((check) => {
      const fix = check.fix ? [make("p", {}, `→ ${check.fix}`)] : [];
      return make("li", { className: check.status }, make("p", {}, make("strong", {}, check.title), ` ${check.reason}`), ...fix);
    }));
    showValues(url);
  } finally {
    byId("check-again").disabled = false;
  }
}

async function copy(button) {
  const code = byId(button.dataset.copy);
  const text = code.dataset.value ?? code.textContent;
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  button.classList.add("done");
  setTimeout(() => { button.textContent = "Copy"; button.classList.remove("done"); }, 1500);
}

// ── the try-it box ─────────────────────────────────────────────────────────────────────────────────────────────────

let stop = null;

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
  }
}

async function tryIt() {
  const answer = byId("answer"), note = byId("answer-note"), began = performance.now();
  const body = { model: byId("model").value, stream: true, messages: [{ role: "user", content: byId("prompt").value }] };
  answer.textContent = note.textContent = "";
  answer.className = "running";
  stop = new AbortController();
  byId("send").textContent = "Stop";
  let first = null, usage = null;
  try {
    const response = await ask("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal: stop.signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    const thread = response.headers.get("x-codex-proxy-thread") ?? "";
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      const text = event.choices[0]?.delta.content;
      if (text) {
        first ??= performance.now() - began;
        answer.textContent += text;
        answer.scrollTop = answer.scrollHeight;
      }
      usage = event.usage ?? usage;
    }
    const tokens = usage ? `, ${usage.prompt_tokens} tokens in and ${usage.completion_tokens} out` : "";
    note.textContent = `first word after ${duration(first / 1000)}${tokens}, ${thread.split(";")[0]} thread`;
  } catch (error) {
    if (error.name === "AbortError") note.textContent = "stopped";
    else { answer.textContent = error.message; answer.classList.add("failed"); }
  } finally {
    answer.classList.remove("running");
    byId("send").textContent = "Send";
    stop = null;
  }
}

// ── the page ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function refresh() {
  try {
    const response = await ask("/usage");
    if (response.status === 403) throw new Foreign((await response.json()).error.message);
    const usage = await response.json();
    const named = usage.key;
    if (named && !named.agents.length) throw new Refused(`That is the key of ${named.name}, which does not show the account.`);
    document.body.classList.toggle("named", Boolean(named));
    const now = Date.now() / 1000;
    byId("ask-key").hidden = true;
    byId("shown").hidden = false;
    showEntries(usage, now);
    showAgents(usage.agents, now, press);
    if (named) showNamed(named);
    else showAccount(usage, now);
    if (!named && Date.now() - daysRead > DAYS_EVERY) {
      daysRead = Date.now();
      await readDays();
    }
    if (days.length) drawDays(byId("chart-days"), days);
    if (!started) {
      started = true;
      showValues(null);
      await Promise.all([showModels(), ...(named ? [] : [showChecks()])]);
    }
  } catch (error) {
    byId("state").className = "pill bad";
    byId("state").textContent = error instanceof Refused ? "locked" : error instanceof Foreign ? "refused" : "no answer";
    if (error instanceof Foreign) byId("account").textContent = error.message;
    if (error instanceof Refused) {
      byId("key-refused").textContent = error.message || (key ? "That key is wrong." : "");
      byId("ask-key").hidden = false;
      byId("shown").hidden = true;
      started = false;
      return false;
    }
  }
  return true;
}

async function poll() {
  if (document.hidden || (await refresh())) setTimeout(poll, EVERY);
}

byId("ask-key").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  sessionStorage.setItem("api-key", key);
  byId("key").value = "";
  poll();
});
byId("try").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stop) stop.abort();
  else tryIt();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("try").requestSubmit();
});
byId("check-again").addEventListener("click", showChecks);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
poll();
