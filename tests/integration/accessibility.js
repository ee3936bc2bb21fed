// What in the page that is open keeps somebody from reading or using it: a list of faults, in words.
// Sources: WCAG 2.2, levels A and AA; the numbers are of its success criteria.
(() => {
  const faults = [];
  const fault = (rule, node, why) => faults.push(`${rule}: ${describe(node)}: ${why}`);
  const describe = (node) => node?.outerHTML?.replace(/\s+/g, " ").slice(0, 160) ?? String(node);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const shown = (node) =>
    node.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) && !node.closest("[hidden]");
  const unseen = (node) => node.closest(".unseen, .bars thead") !== null;
  const text = (node) => (node?.textContent ?? "").replace(/\s+/g, " ").trim();

  // ---- The document (2.4.2, 3.1.1, 4.1.1) ----
  if (!document.documentElement.lang) fault("lang", document.documentElement, "has none");
  if (!/\S/.test(document.title)) fault("title", document.head, "the page has none");
  const ids = new Map();
  for (const node of all("[id]")) ids.set(node.id, [...(ids.get(node.id) ?? []), node]);
  for (const [id, nodes] of ids) if (nodes.length > 1) fault("id", nodes[1], `'${id}' is there ${nodes.length} times`);
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"])
    for (const node of all(`[${name}]`))
      for (const id of node.getAttribute(name).split(/\s+/))
        if (!ids.has(id)) fault(name, node, `there is no '${id}'`);

  // ---- Landmarks and headings (1.3.1, 2.4.1, 2.4.6) ----
  for (const landmark of ["header", "main", "footer"])
    if (all(`body > ${landmark}`).length !== 1) fault("landmark", document.body, `has not one ${landmark}`);
  const outside = [...document.body.children].filter((node) => shown(node) && text(node) &&
    !node.matches("header, main, footer, dialog, .skip, [role=status]"));
  for (const node of outside) fault("landmark", node, "stands outside of all landmarks");
  const sections = all("nav, section").filter(shown);
  for (const node of sections)
    if (!node.hasAttribute("aria-label") && !node.hasAttribute("aria-labelledby"))
      fault("landmark", node, "has no name");
  const dialog = all("dialog[open]")[0];
  const headings = all("h1, h2, h3, h4, h5, h6", dialog ?? document).filter(shown);
  if (!dialog && headings.filter((node) => node.nodeName === "H1").length !== 1)
    fault("heading", document.body, "has not one h1");
  let before = dialog ? 1 : 0;
  for (const node of headings) {
    const level = Number(node.nodeName[1]);
    if (level > before + 1) fault("heading", node, `follows one of level ${before}`);
    if (!text(node)) fault("heading", node, "is empty");
    before = level;
  }

  // ---- Controls (1.3.1, 2.1.1, 2.5.8, 3.3.2, 4.1.2) ----
  const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
  for (const node of all("input, select, textarea")) {
    if (node.type === "hidden") continue;
    if (![...(node.labels ?? [])].some(text)) fault("label", node, "has no label");
  }
  for (const node of all(CONTROLS).filter(shown)) {
    if (Number(node.getAttribute("tabindex")) > 0) fault("tabindex", node, "is out of the page's order");
    if (node.parentElement.closest("a[href], button, summary, label > input"))
      fault("nested", node, "is a control inside of one");
    if (node.closest("[aria-hidden=true]")) fault("hidden", node, "can have the focus, and is hidden from some");
    if (node.matches("a[href]") && !text(node) && !node.getAttribute("aria-label")) fault("name", node, "has no name");
    const box = node.getBoundingClientRect();
    const inText = node.matches("a") && getComputedStyle(node).display === "inline";
    if (!inText && !node.matches("[tabindex='-1'], .skip") && (box.width < 24 || box.height < 24))
      fault("target", node, `is ${box.width.toFixed()} by ${box.height.toFixed()} pixels`);
  }
  for (const node of all("[role=group]"))
    if (!node.getAttribute("aria-label")) fault("name", node, "is a group without a name");
  for (const node of all("a:not([href])")) fault("link", node, "leads nowhere");
  for (const node of all("button")) if (!node.hasAttribute("type")) fault("button", node, "has no type");
  for (const node of all("[onclick]")) fault("handler", node, "is in the markup, where the policy forbids it");

  // ---- Tables, lists, pictures (1.1.1, 1.3.1) ----
  for (const node of all("table")) {
    if (!text(node.querySelector("caption"))) fault("table", node, "has no caption");
    for (const cell of all("th", node)) {
      if (!["col", "row"].includes(cell.getAttribute("scope"))) fault("table", cell, "does not say what it heads");
      if (!text(cell)) fault("table", cell, "is an empty head");
    }
    if (all("thead th", node).length === 0) fault("table", node, "has no heads");
    const width = all("thead th", node).length;
    for (const row of all("tbody tr", node))
      if (row.children.length !== width) fault("table", row, `has ${row.children.length} cells below ${width} heads`);
  }
  for (const node of all("ul > *")) if (node.nodeName !== "LI") fault("list", node, "is no item");
  for (const node of all("dl")) {
    for (const child of node.children)
      if (child.nodeName !== "DIV" || !child.querySelector("dt") || !child.querySelector("dd"))
        fault("list", child, "is no pair");
  }
  for (const node of all("svg")) {
    if (node.getAttribute("aria-hidden") === "true" || node.closest("[aria-hidden=true]")) continue;
    const title = node.querySelector("title");
    if (node.getAttribute("role") !== "img" || !text(title) || node.getAttribute("aria-labelledby") !== title.id)
      fault("picture", node, "says not what it shows");
  }
  for (const node of all("img")) if (!node.hasAttribute("alt")) fault("picture", node, "has no alternative");
  for (const node of all("figure")) {
    const caption = node.querySelector(":scope > figcaption");
    const link = caption?.querySelector("a[href^='/api/v1/']");
    if (!link || !shown(link) || !text(link).startsWith("GET /api/v1/"))
      fault("figure", node, "does not name the call that made it");
    if (node.querySelector("svg[role=img]") && !node.querySelector("table"))
      fault("figure", node, "has no table of its figures");
  }

  // ---- Contrast (1.4.3, 1.4.11) ----
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const rgba = (colour) => {
    if (!colours.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(colour, [r, g, b, a / 255]);
    }
    return colours.get(colour);
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((each, at) => each * a + below[at] * (1 - a)).concat(1);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  let texts = 0;
  const walker = document.createTreeWalker(dialog ?? document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!/\S/.test(node.nodeValue) || parent.closest("title, noscript, .skip:not(:focus)")) continue;
    if (!shown(parent) || unseen(parent)) continue;
    ++texts;
    const style = getComputedStyle(parent);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const behind = ground(parent);
    const found = contrast(over(rgba(parent instanceof SVGElement ? style.fill : style.color), behind), behind);
    if (found < (large ? 3 : 4.5)) fault("contrast", parent, `is ${found.toFixed(2)}`);
    if (size < 11.5) fault("size", parent, `is ${size} pixels`);
  }
  if (texts < 5) fault("contrast", document.body, `has no more than ${texts} texts: nothing was looked at`);
  for (const node of all("input, select, button.quiet").filter(shown)) {
    const found = contrast(rgba(getComputedStyle(node).borderTopColor), ground(node.parentElement));
    if (found < 3) fault("contrast", node, `the border's is ${found.toFixed(2)}`);
  }
  for (const node of all("svg rect:not(.track), svg circle, svg path").filter(shown)) {
    const style = getComputedStyle(node);
    const found = contrast(rgba(style.fill === "none" ? style.stroke : style.fill), ground(node));
    if (found < 3) fault("contrast", node, `the drawing's is ${found.toFixed(2)}`);
  }

  // ---- Reflow (1.4.10) ----
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    const widest = all("main *").filter((node) =>
      !node.closest(".scroll *, pre *") && node.getBoundingClientRect().right > root.clientWidth + 1);
    fault("reflow", widest[0] ?? root, `the page is ${root.scrollWidth} wide where there are ${root.clientWidth}`);
  }
  for (const node of all(".scroll, pre").filter(shown))
    if (node.scrollWidth > node.clientWidth + 1 && node.getAttribute("tabindex") !== "0")
      fault("scroll", node, "cannot be scrolled by keyboard");
  return faults;
})()
