// Review: one key answers, the next question is there already, and what was said is sent behind. What is not sent yet is
// kept in the browser, so that neither a reload nor a network that is away loses it; without this file forms do it all.
"use strict";
const review = document.querySelector("#review"), place = document.querySelector("#question"), last = document.querySelector("#last");
const KEPT = `review ${review.dataset.person}`, FEW = 10, BATCH = 20;
const ahead = []; // questions that are here and not on the page
const told = []; // what was answered on this page, with its question, the newest last
let sending = false, asking = false, over = false, pause = 500, onServer = Number(review.dataset.waiting);
let left = Number(review.dataset.left), done = Number(review.dataset.done), token = csrf();
const unsent = () => { try { return JSON.parse(localStorage[KEPT] || "[]"); } catch { return unsent.memory || []; } };
const keep = (acts) => { try { localStorage[KEPT] = JSON.stringify(acts); } catch { unsent.memory = acts; } };
const put = (selector, text) => { const found = document.querySelector(selector); if (found) found.textContent = text; };
const now = () => place.querySelector(".ask");
const show = () => {
  const waiting = unsent().length + onServer;
  put("#saving", waiting ? `${waiting} being saved` : "all saved");
  put("#left", left > 10000 ? "10,000+" : left.toLocaleString("en")); put("#done", done.toLocaleString("en"));
};
const fresh = () => { // a UUIDv7
  const bytes = crypto.getRandomValues(new Uint8Array(16)), time = BigInt(Date.now());
  for (let n = 0; n < 6; n++) bytes[n] = Number((time >> BigInt(40 - 8 * n)) & 255n);
  bytes[6] = (bytes[6] & 15) | 112; bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
};
const swap = (article) => {
  place.replaceChildren(article);
  article.focus({ preventScroll: true }); scrollTo(0, 0);
};
const showLast = () => {
  const one = told.at(-1);
  last.hidden = !one;
  for (const input of last.querySelectorAll("[data-of-last]")) input.remove();
  put("#last-said", one ? one.words : ""); put("#heard", one ? one.heard : "");
};
const askMore = async () => {
  if (asking || over) return;
  asking = true;
  const here = [now(), ...ahead].filter(Boolean).map((one) => one.dataset.item);
  const besides = [...here, ...unsent().map((act) => act.item)].join(",");
  try {
    const answer = await fetch(`/review/ahead?${review.dataset.query}&besides=${besides}`);
    if (!answer.ok) throw new Error(answer.status);
    const text = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = [...text.querySelectorAll(".ask")].filter((one) => !here.includes(one.dataset.item));
    ahead.push(...found.map((one) => document.adoptNode(one)));
    over = !found.length;
    if (!now()) next();
  } catch { setTimeout(askMore, 2000); }
  asking = false;
};
const next = () => {
  const one = ahead.shift();
  if (one) swap(one);
  else if (over && !unsent().length) { location.assign(`/review/queue?${review.dataset.query}`); return; }
  else {
    const note = document.createElement("p");
    note.className = "wide q"; note.textContent = "The next question is on its way.";
    place.replaceChildren(note);
  }
  if (ahead.length < FEW) askMore();
};
const push = (act) => { keep([...unsent(), act]); show(); send(); };
const send = async () => {
  const batch = unsent().slice(0, BATCH);
  if (sending || !batch.length) return;
  sending = true;
  try {
    const answer = await fetch("/review/acts", { method: "POST", keepalive: true, headers: { "content-type": "application/json", "X-CSRF": token }, body: JSON.stringify(batch) });
    if (answer.status === 403) { // the app has started anew, or it is somebody else's page now
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      const given = page.querySelector("meta[name=csrf]").content;
      if (given === token) toast("Not saved: you may not review");
      token = given;
      throw new Error("403");
    }
    if (answer.status === 401) toast("Not saved yet: sign in again, in another tab"); // kept here until then
    if (answer.status === 401 || answer.status === 429 || answer.status >= 500) throw new Error(answer.status);
    const found = answer.ok ? await answer.json() : { acts: batch.map((act) => ({ id: act.id, error: `refused (${answer.status})` })), waiting: onServer };
    keep(unsent().slice(batch.length));
    onServer = found.waiting; pause = 500;
    for (const act of found.acts) {
      if (act.error) toast(`Not saved: ${act.error}`);
      const one = told.find((each) => each.act.id === act.id);
      if (one && act.heard) one.heard = act.heard;
    }
    put("#heard", told.at(-1) ? told.at(-1).heard : "");
    if (onServer) setTimeout(look, 1000);
    if (!now() && over) next();
  } catch { setTimeout(send, pause); pause = Math.min(pause * 2, 10000); }
  sending = false;
  show();
  if (unsent().length && pause === 500) send();
};
const look = async () => {
  try { onServer = (await (await fetch("/review/waiting")).json()).waiting; } catch { /* the next look may say more */ }
  show();
  if (onServer) setTimeout(look, 2000);
};
const fields = (form, button) => Object.fromEntries([...new FormData(form, button)].filter(([name]) => name !== "csrf" && name !== "queue"));
const takeBack = () => {
  const one = told.pop(), on = now();
  push({ ...one.act, act: "take_back" });
  if (on) ahead.unshift(on);
  const input = (name) => one.article.querySelector(`input[name=${name}]`);
  if (one.act.kind === "pairs") input("again").value = Number(input("again").value) + 1;
  else input("id").value = fresh();
  left += 1; done -= 1; over = false;
  swap(one.article); showLast(); show(); toast("Taken back");
};
addEventListener("submit", (event) => {
  const form = event.target;
  if (form === last && told.length) { event.preventDefault(); takeBack(); return; }
  if (!form.matches(".panel")) return;
  event.preventDefault();
  const act = fields(form, event.submitter), article = form.closest(".ask");
  if (act.act === "later") push(act);
  else {
    told.push({ act, article, words: event.submitter.textContent.replace(event.submitter.querySelector("kbd").textContent, "").trim(), heard: "" });
    left = Math.max(left - 1, 0); done += 1;
    push(act); showLast();
  }
  article.remove(); next();
});
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key !== "Enter" || !event.target.matches("#correction")) return;
  const bad = place.querySelector("button[value=bad]");
  if (bad) { event.preventDefault(); bad.click(); }
});
addEventListener("online", () => { pause = 500; send(); });
if (now()) { askMore(); now().focus({ preventScroll: true }); }
if (onServer) setTimeout(look, 1000);
show(); send();
