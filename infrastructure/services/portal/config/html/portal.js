"use strict";

const POLL_MS = 15000;
const cards = [...document.querySelectorAll("[data-health]")];
const summary = document.getElementById("summary");
const user = document.getElementById("user").textContent.trim();

async function answers(address) {
  try {
    return (await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(8000) })).ok;
  } catch {
    return null;
  }
}

async function ask(card) {
  // From the origin: fetch refuses a URL with a user in it, which the page's own may have.
  const address = new URL(card.dataset.health, location.origin);
  // A laptop that changes its network loses a question, which says nothing of the service.
  const up = await answers(address) ?? await answers(address) ?? false;
  const state = card.querySelector(".state");
  state.dataset.state = up ? "up" : "down";
  state.textContent = up ? "up" : "down";
  return up;
}

async function askAll() {
  if (document.hidden) return;
  const down = (await Promise.all(cards.map(ask))).filter((up) => !up).length;
  const text = down === 0 ? `All ${cards.length} answer` : `${down} of ${cards.length} ${down === 1 ? "does" : "do"} not answer`;
  if (summary.textContent !== text) summary.textContent = text;
}

function nameUser() {
  if (!user) return;
  for (const place of document.querySelectorAll(".me")) place.textContent = user;
  for (const code of document.querySelectorAll("pre code")) {
    code.textContent = code.textContent.replaceAll("<user>", user);
  }
}

function offerCopies() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll(".code button")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

nameUser();
offerCopies();
if (cards.length) {
  askAll();
  setInterval(askAll, POLL_MS);
  document.addEventListener("visibilitychange", askAll);
} else {
  summary.textContent = "";
}
