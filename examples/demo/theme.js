// Light, dark, or as the system has it.

const CHOICES = [
  ["auto", "Auto", "Colours: as the system has them"],
  ["light", "Light", "Colours: light"],
  ["dark", "Dark", "Colours: dark"],
];

/** Lets a button go round the choices, and keeps the choice. */
export function chooseTheme(button) {
  let at = Math.max(0, CHOICES.findIndex(([name]) => name === localStorage.getItem("theme")));
  const show = () => {
    const [name, text, label] = CHOICES[at];
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = text;
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("click", () => {
    at = (at + 1) % CHOICES.length;
    localStorage.setItem("theme", CHOICES[at][0]);
    show();
  });
  show();
}
