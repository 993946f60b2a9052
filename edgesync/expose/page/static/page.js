// Keeps the page as it is now. When the daemon says that something has changed, the page is asked for again, and what
// differs in its live parts is put in place: focus, scrolling and what is folded out stay. Without this, reload.
"use strict";
(() => {
  const connection = document.getElementById("connection");
  let tag = document.body.dataset.tag;
  let busy = false;
  let stale = false;

  function morph(old, next) {
    if (old.isEqualNode(next)) return;
    const alike = old.nodeName === next.nodeName && old.childNodes.length === next.childNodes.length;
    if (!alike) {
      old.replaceWith(document.adoptNode(next));
    } else if (old.nodeType === Node.TEXT_NODE) {
      old.data = next.data;
    } else {
      for (const name of old.getAttributeNames()) {
        if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
      }
      for (const name of next.getAttributeNames()) {
        if (old.getAttribute(name) !== next.getAttribute(name)) old.setAttribute(name, next.getAttribute(name));
      }
      const pairs = [...next.childNodes];
      [...old.childNodes].forEach((child, index) => morph(child, pairs[index]));
    }
  }

  function put(page) {
    const focused = document.activeElement?.id;
    document.title = page.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = page.getElementById(part.id);
      if (next) morph(part, next);
    }
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  }

  async function refresh() {
    stale = true;
    if (busy || document.hidden) return;
    busy = true;
    try {
      while (stale) {
        stale = false;
        const answer = await fetch(location.href, { headers: { "If-None-Match": tag } });
        if (answer.status === 304) continue;
        // Signed out meanwhile, or the image is gone.
        if (answer.redirected || answer.status === 404) return location.reload();
        if (!answer.ok) return lost();
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        tag = answer.headers.get("ETag");
      }
      connection.textContent = "live";
      connection.className = "live";
    } catch {
      lost();
    } finally {
      busy = false;
    }
  }

  function lost() {
    connection.textContent = "not connected: this is how it was";
    connection.className = "lost";
  }

  function listen() {
    const events = new EventSource("/live");
    events.addEventListener("change", refresh);
    events.addEventListener("error", () => {
      lost();
      // A browser asks again by itself where nobody answered, and not where it was refused.
      if (events.readyState === EventSource.CLOSED) refused();
    });
  }

  // Refused may be who is signed in no longer: the page's own address leads to the sign-in then.
  async function refused() {
    try {
      const answer = await fetch(location.href, { headers: { "If-None-Match": tag }, redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
    } catch {
      // Not there at all: it is asked again.
    }
    setTimeout(listen, 10000);
  }

  listen();
  document.addEventListener("visibilitychange", () => {
    if (stale) refresh();
  });
})();
