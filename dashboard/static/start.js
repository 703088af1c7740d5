// Loads the dashboard's module, and says so in plain words where that fails.
import init from "./tidegate_dashboard.js";

init({ module_or_path: new URL("./tidegate_dashboard_bg.wasm", import.meta.url) }).catch((error) => {
  const text = document.createElement("p");
  text.className = "empty";
  text.setAttribute("role", "alert");
  text.textContent = `The dashboard could not be loaded: ${error.message ?? error}`;
  document.body.append(text);
});
