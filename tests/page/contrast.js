// The texts whose contrast with what is behind them is below that of WCAG AA.
const parse = (color) => color.match(/[\d.]+/g).map(Number);
const luminance = (color) => {
  const [r, g, b] = parse(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const isSolid = (color) => color.startsWith("rgb(");
const box = getComputedStyle(document.querySelector(".boxes rect")).fill;
const behind = (element) => {
  if (element.closest("svg")) return box;
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (isSolid(color)) return color;
  }
  return "rgb(255, 255, 255)";
};
const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
const texts = [...document.body.querySelectorAll("*")].filter((e) => hasText(e) && e.checkVisibility() && e.tagName !== "NOSCRIPT");
return texts.flatMap((element) => {
  const style = getComputedStyle(element);
  const [light, dark] = [luminance(element.closest("svg") ? style.fill : style.color), luminance(behind(element))].sort((a, b) => b - a);
  const contrast = (light + 0.05) / (dark + 0.05);
  return contrast < 4.5 ? [`${element.textContent}: ${contrast.toFixed(2)}`] : [];
});
