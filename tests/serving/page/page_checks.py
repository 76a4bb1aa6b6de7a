"""Scripts that look at a whole page: what is too pale, and what stands out of the window."""

from __future__ import annotations

CONTRAST = """(() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const ink = canvas.getContext("2d", {willReadFrequently: true});
  const over = (colours) => {
    ink.clearRect(0, 0, 1, 1);
    for (const c of colours) { ink.fillStyle = c; ink.fillRect(0, 0, 1, 1); }
    return [...ink.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (c) => c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((s, v, n) => s + v * [0.2126, 0.7152, 0.0722][n], 0);
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".unseen, .skip, option")) continue;
    const ground = []; for (let p = e; p; p = p.parentElement) ground.unshift(getComputedStyle(p).backgroundColor);
    const back = light(over(ground)), front = light(over([...ground, getComputedStyle(e).color]));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (ratio < 4.5) low.push([e.outerHTML.slice(0, 90), ratio]);
  }
  return low;
})()"""
OVER = """(() => { const wide = document.documentElement.clientWidth;
  const scrolls = e => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  return [...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && !scrolls(e.parentElement)
    && e.getBoundingClientRect().right > wide + 1).map(e => e.outerHTML.slice(0, 90))
    .concat(document.documentElement.scrollWidth > wide ? ["the page scrolls"] : []); })()"""
