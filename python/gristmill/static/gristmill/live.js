// Looks again every few seconds and shows what has changed. Without it a page is whole, and "Refresh" loads it anew.
const root = document.querySelector(".gristmill");
const page = document.getElementById("gristmill-page");
const button = root?.querySelector(".gm-pause");
const SECONDS = Number(root?.dataset.refresh) || 5;
const MOST_SECONDS = 60;
const KEY = "gristmill-paused";
let tag = null;
let wait = SECONDS;
let timer = null;
let asking = false;

const paused = () => sessionStorage.getItem(KEY) === "1";
// Nothing is taken away from whoever types, selects words, walks by keyboard or has a button half pressed, nor an open
// drawer or a ticked box, nor a form that asks what is meant.
const BUSY = "details[open]:not([data-keep]), input[type=checkbox]:checked, .gm-form, :focus-visible, :active";
const busy = () => page.querySelector(BUSY) !== null || isTyping() || isSelecting();
const isTyping = () =>
  page.contains(document.activeElement) &&
  document.activeElement.matches("input:not([type=checkbox]), select, textarea");

function isSelecting() {
  const selected = document.getSelection();
  return !selected.isCollapsed && page.contains(selected.anchorNode);
}

function address() {
  const url = new URL(window.location.href);
  url.searchParams.set("fragment", "1");
  url.hash = "";
  return url;
}

// What may be opened or scrolled while the page goes on stays where its reader has put it.
function show(text) {
  const keeping = () => page.querySelectorAll("[data-keep]");
  const state = ({ open, scrollLeft, scrollTop }) => ({ open, scrollLeft, scrollTop });
  const kept = new Map(Array.from(keeping(), (one) => [one.dataset.keep, state(one)]));
  page.innerHTML = text;
  keeping().forEach((one) => Object.assign(one, kept.get(one.dataset.keep)));
}

async function look() {
  if (asking || paused() || document.hidden || busy()) {
    return;
  }
  asking = true;
  try {
    const headers = tag === null ? {} : { "If-None-Match": tag };
    const answer = await fetch(address(), { headers, credentials: "same-origin", cache: "no-store" });
    if (answer.status === 200 && !answer.redirected) {
      const text = await answer.text();
      if (!paused() && !busy()) {
        show(text);
        tag = answer.headers.get("ETag");
      }
    } else if (answer.status !== 304) {
      throw new Error(String(answer.status));
    }
    wait = SECONDS;
  } catch {
    // A server that is in trouble is not asked as often.
    wait = Math.min(wait * 2, MOST_SECONDS);
  } finally {
    asking = false;
  }
}

function again() {
  clearTimeout(timer);
  if (!paused() && !document.hidden) {
    timer = setTimeout(() => look().finally(again), wait * 1000);
  }
}

function tell() {
  button.hidden = false;
  button.textContent = paused() ? "Update again" : "Stop updates";
  button.setAttribute("aria-pressed", String(paused()));
}

if (page && button) {
  tell();
  button.addEventListener("click", () => {
    sessionStorage.setItem(KEY, paused() ? "0" : "1");
    tell();
    again();
  });
  document.addEventListener("visibilitychange", again);
  again();
}
