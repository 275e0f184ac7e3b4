
const root = document.documentElement;
let busy = false;
async function swap() {
  const old = document.querySelector("main");
  const chosen = getSelection();
  if (busy || (!chosen.isCollapsed && old.contains(chosen.anchorNode))) return;
  busy = true;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("main");
    const open = new Map([...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    for (const one of next.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
    const focused = old.contains(document.activeElement) && document.activeElement.closest("[id]");
    document.title = page.title;
    old.replaceWith(next);
    const again = focused && document.getElementById(focused.id);
    if (again) (again.querySelector("summary") || again).focus({ preventScroll: true });
  } catch { /* the next event tries again */ } finally { busy = false; }
}
const events = new EventSource("/events");
events.onmessage = swap;
events.onopen = () => { delete root.dataset.cut; swap(); };
events.onerror = () => { root.dataset.cut = ""; };
