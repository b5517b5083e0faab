// The turns of agents on the status page: what each does now, what it asks, and the buttons for both.
// All that a model wrote is shown as text, with every character that could hide or reorder a part of it made visible.

import { ago, byId, make } from "/page/words.js";

const SETTLE = 700, SHORT = 3;
const shown = new Map();
let arrangement = "", settling = 0;

const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) =>
  sign === "\n" || sign === "\t" ? sign : `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

function button(words, turn, press, path, body) {
  const made = make("button", { type: "button" }, words);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await press(path, body);
    } catch (error) {
      turn.querySelector(".failure").textContent = error.message;
      made.disabled = false;
    }
  });
  return made;
}

function change({ path, kind, move_path: moved, added, removed, diff }, place, all) {
  const words = `${kind} ${visible(path)}${moved ? ` → ${visible(moved)}` : ""} (+${added} −${removed})`;
  return make("details", { open: all.length <= SHORT }, make("summary", {}, words), make("pre", {}, visible(diff)));
}

function question({ id, action, reason, approved, command, cwd, changes, ...rest }, turn, press) {
  const where = cwd == null || cwd === "." ? [] : [" in ", make("code", {}, visible(cwd))];
  const why = reason ? [make("p", { className: "note" }, visible(reason))] : [];
  const what = command != null ? [make("pre", {}, visible(command))]
    : changes ? changes.map(change) : [make("pre", {}, visible(JSON.stringify(rest.arguments ?? rest, null, 2)))];
  const decided = approved == null ? [] : [make("p", { className: approved ? "approved" : "declined" },
    `${approved ? "Approved" : "Declined"}. The agent goes on with the next request of its client.`)];
  const answer = (approve) => button(approve ? "Approve" : "Decline", turn, press, "/agents/answer", { approval: id, approve });
  const buttons = approved == null ? [answer(true), answer(false)] : approved ? [answer(false)] : [];
  return make("div", { className: "question" },
    make("p", {}, "It asks to ", make("strong", {}, visible(action)), ...where), ...why, ...what, ...decided,
    make("p", { className: "row" }, ...buttons));
}

function build(turn, press) {
  const element = make("article", {}), asks = turn.state === "waiting";
  const key = turn.key ? [make("span", { className: "badge" }, turn.key)] : [];
  const idle = !asks ? "thinking or writing" : turn.questions.length ? "" : "waiting for its client";
  const doing = turn.doing.length ? make("code", {}, turn.doing.map(visible).join(" · ")) : idle;
  element.append(
    make("p", { className: "head" },
      make("strong", {}, turn.agent), make("span", { className: `badge ${asks ? "asks" : "running"}` }, asks ? "waits" : "works"),
      ...key, make("code", { title: turn.folder }, turn.folder), make("span", { className: "note since" }),
      button("Stop", element, press, "/agents/stop", { turn: turn.turn })),
    make("p", { className: "doing", title: turn.doing.map(visible).join("\n") }, doing),
    ...turn.questions.map((one) => question(one, element, press)),
    make("p", { className: "failure" }));
  return element;
}

// Each turn keeps its element while nothing about it changes, so that an open diff stays open. When turns or questions
// come or go, the buttons rest for a moment: a click may have been meant for what was there before.
export function showAgents(turns, now, press) {
  const old = new Map(shown);
  shown.clear();
  for (const turn of turns) {
    const content = JSON.stringify(turn), kept = old.get(turn.turn);
    const element = kept?.content === content ? kept.element : build(turn, press);
    element.querySelector(".since").textContent = `since ${ago(now - turn.since).replace(" ago", "")}`;
    shown.set(turn.turn, { content, element });
  }
  const elements = [...shown.values()].map((one) => one.element), list = byId("agents");
  if (elements.length !== list.children.length || elements.some((it, place) => it !== list.children[place])) list.replaceChildren(...elements);
  byId("agents-card").hidden = !turns.length;
  const arranged = JSON.stringify(turns.map((turn) => [turn.turn, turn.questions.map((one) => [one.id, one.approved])]));
  if (arranged === arrangement) return;
  arrangement = arranged;
  list.disabled = true;
  clearTimeout(settling);
  settling = setTimeout(() => { list.disabled = false; }, SETTLE);
}
