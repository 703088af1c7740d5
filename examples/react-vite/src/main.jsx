import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.jsx";
import { connectBus } from "./bus.js";
import "./app.css";

const root = createRoot(document.querySelector("#root"));
try {
  const bus = await connectBus();
  root.render(<StrictMode><App bus={bus} /></StrictMode>);
} catch (error) {
  root.render(<p className="failed" role="alert">No connection to the bridge: {error.message}</p>);
}
