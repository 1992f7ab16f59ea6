// The page of the shop: what it shows comes from the JSON under /api (../README.md), the same on each server.

const GOODS = { tea: "Green tea", coffee: "Coffee", honey: "Honey", cup: "A cup" };
const COUNTED = [
  "sessions_live",
  "sessions_started",
  "sessions_adopted",
  "sessions_ended",
  "payload_reads",
  "payload_writes",
  "refused_no_session",
  "process_id",
];
const HIDDEN = "•";

const $ = (id) => document.getElementById(id);
let session; // as the server said last
let overAt = 0; // when its life will have run down, in milliseconds of performance.now()

/** An element with text or elements in it. */
function make(tag, ...content) {
  const element = document.createElement(tag);
  element.append(...content);
  return element;
}

function button(label, action, name = label) {
  const element = make("button", label);
  element.type = "button";
  element.className = "quiet";
  element.ariaLabel = name;
  element.addEventListener("click", () => act(action));
  return element;
}

/** GET, or with a body POST; an answer that is no success is an error with its text. */
async function api(path, body) {
  const headers = { "Content-Type": "application/json" };
  const post = body && { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(`/api/${path}`, post);
  const answer = await response.json();
  if (!response.ok) throw new Error(`${response.status}: ${answer.error}`);
  return answer;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const inCart = () => Object.values(session.cart).reduce((sum, count) => sum + count, 0);

// One thing after another: an action, then all that is shown, anew.
let last = Promise.resolve();
function act(action = () => {}) {
  last = last.then(async () => {
    document.body.ariaBusy = "true";
    try {
      await action();
      await show();
    } catch (error) {
      say(error.message);
    }
    document.body.ariaBusy = "false";
  });
}

function say(text) {
  $("flash").textContent = text;
  $("flash").hidden = !text;
}

async function show() {
  session = await api("session");
  const [payloads, counters, devices] = await Promise.all([
    api("payloads"),
    api("server"),
    session.user ? api("devices") : [],
  ]);
  say(session.flash ?? "");
  showGoods();
  showSession(payloads);
  showDevices(devices);
  $("counters").replaceChildren(
    ...COUNTED.map((name) =>
      make("div", make("dt", name.replaceAll("_", " ")), make("dd", String(counters[name]))),
    ),
  );
}

function showGoods() {
  $("goods").replaceChildren(
    ...Object.entries(GOODS).map(([item, label]) => {
      const count = make("b", session.cart[item] ? `× ${session.cart[item]}` : "");
      return make(
        "li",
        make("span", label),
        count,
        button("Add", () => api("cart", { item }), `Add: ${label}`),
      );
    }),
  );
}

function showSession(payloads) {
  const { token, ttl } = session;
  $("none").hidden = token !== null;
  $("some").hidden = token === null;
  for (const id of ["tabs", "late"]) $(id).disabled = token === null;
  if (token === null) {
    overAt = 0;
    return;
  }
  const before = Math.round((overAt - performance.now()) / 1000);
  $("refreshed").textContent = before > 0 && ttl > before + 1 ? `restored from ${clock(before)}` : "";
  overAt = performance.now() + 1000 * ttl;
  const seen = token.slice(3);
  $("token").querySelector(".id b").textContent = seen + HIDDEN.repeat(22 - seen.length);
  $("token").querySelector(".signature b").textContent = HIDDEN.repeat(32);
  $("token").querySelector(".pad b").textContent = HIDDEN.repeat(3);
  payloads.sort((a, b) => (a.name < b.name ? -1 : 1));
  $("payloads").replaceChildren(
    ...payloads.map(({ name, bytes }) => make("li", make("code", name), make("span", String(bytes)))),
  );
  tick();
}

function showDevices(devices) {
  $("login").hidden = session.user !== null;
  $("account").hidden = session.user === null;
  $("user").textContent = session.user ?? "";
  $("end-others").disabled = devices.length < 2;
  $("devices").replaceChildren(
    ...devices.map(({ id, current, started, agent }) => {
      const since = make("small", `since ${new Date(started).toLocaleTimeString()}`);
      const name = make("span", browserOf(agent), since);
      return make(
        "li",
        name,
        current ? make("span", "this one") : button("End", () => api(`devices/${id}/end`, {})),
      );
    }),
  );
}

function browserOf(agent) {
  const find = (names) => names.find(([sign]) => agent.includes(sign))?.[1];
  const browser = find([
    ["Edg/", "Edge"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
  ]);
  const system = find([
    ["Android", "Android"],
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Windows", "Windows"],
    ["Mac OS", "macOS"],
    ["Linux", "Linux"],
  ]);
  return browser && system ? `${browser} on ${system}` : agent || "unknown";
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

function tick() {
  if (!overAt) return;
  const left = Math.max(0, Math.ceil((overAt - performance.now()) / 1000));
  $("life").value = left;
  $("ttl").textContent = clock(left);
  if (left === 0) {
    overAt = 0;
    act();
  }
}

// The three buttons. Each writes out what was asked and what the server said.

function writer(id) {
  $(id).replaceChildren();
  return (text, answer) => $(id).append(make("li", text, ...(answer ? [" ", make("code", answer)] : [])));
}

async function twoTabs() {
  const write = writer("tabs-said");
  const before = inCart();
  write("Two requests read the session, and wait a second.");
  const items = ["tea", "honey"];
  const answers = await Promise.all(items.map((item) => api("cart", { item, slow: true })));
  items.forEach((item, index) => {
    write(`One writes ${item}:`, answers[index].answer);
  });
  session = await api("session");
  write(`In the cart: ${before} before, ${inCart()} now.`);
}

async function lateRequest() {
  const write = writer("late-said");
  write("A request reads the session, and waits a second.");
  const late = api("cart", { item: "honey", slow: true });
  await pause(150);
  write("Meanwhile another logs out:", (await api("logout", {})).answer);
  write("The first one writes honey:", (await late).answer);
  session = await api("session");
  const nothing = session.token === null && inCart() === 0;
  write(nothing ? "Nothing came back: no session, no cart." : "Something came back.");
}

async function killRedis() {
  const write = writer("kill-said");
  write("Redis gets a kill -9.");
  const began = performance.now();
  const { before, after } = await api("kill", {});
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  write(`Process ${before} is dead; ${after} serves, ${seconds} s later.`);
  session = await api("session");
  const who = session.user ? `Still logged in as ${session.user}` : "Still nobody is logged in";
  write(`${who}; ${inCart()} in the cart.`);
}

$("tabs").addEventListener("click", () => act(twoTabs));
$("late").addEventListener("click", () => act(lateRequest));
$("kill").addEventListener("click", () => act(killRedis));
$("logout").addEventListener("click", () => act(() => api("logout", {})));
$("end-others").addEventListener("click", () => act(() => api("devices/end-others", {})));
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  act(() => api("login", Object.fromEntries(new FormData(event.target))));
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") act(); // another device may have ended it
});
setInterval(tick, 1000);
act();
