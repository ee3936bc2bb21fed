// Dark or light: as the system says, until somebody says otherwise.
import { h } from "./dom";

const THEME = "tacit.theme";
type Theme = "dark" | "light";
const dark = matchMedia("(prefers-color-scheme: dark)");

function shown(): Theme {
  const chosen = localStorage.getItem(THEME);
  if (chosen === "dark" || chosen === "light") return chosen;
  return dark.matches ? "dark" : "light";
}

function apply(): void {
  document.documentElement.dataset["theme"] = shown();
}

/** The button that changes it. */
export function themeButton(): HTMLElement {
  const button = h("button", { type: "button", class: "quiet", id: "theme" });
  const name = (): void => {
    button.textContent = shown() === "dark" ? "Light theme" : "Dark theme";
  };
  button.onclick = () => {
    localStorage.setItem(THEME, shown() === "dark" ? "light" : "dark");
    apply();
    name();
  };
  dark.addEventListener("change", () => {
    apply();
    name();
  });
  apply();
  name();
  return button;
}
