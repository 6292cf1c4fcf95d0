// Live refresh: fetches the page it is on and replaces the parts marked data-live. No library, nothing else.
"use strict";
const INTERVAL_MS = 2000;
const TIMEOUT_MS = 8000;

function openDetails(part) {
  return [...part.querySelectorAll("details")].map((details) => details.open);
}

function replace(part, fresh) {
  if (part.innerHTML === fresh.innerHTML && part.className === fresh.className) return;
  const open = openDetails(part);
  const left = part.scrollLeft;
  part.className = fresh.className;
  part.innerHTML = fresh.innerHTML;
  part.querySelectorAll("details").forEach((details, n) => { if (open[n]) details.open = true; });
  part.scrollLeft = left;
}

async function refresh() {
  const answer = await fetch(location.href, {
    headers: { "X-Refresh": "1" }, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store",
  });
  if (answer.redirected && new URL(answer.url).pathname === "/login") { location.assign("/login"); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) replace(part, fresh);
  }
}

async function tick() {
  const offline = document.getElementById("offline");
  if (!document.hidden) {
    try { await refresh(); offline.hidden = true; } catch { offline.hidden = false; }
  }
  setTimeout(tick, INTERVAL_MS);
}

if (document.querySelector("[data-live]") && !location.pathname.endsWith("/unmask")) setTimeout(tick, INTERVAL_MS);
