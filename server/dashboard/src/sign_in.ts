// Who one is: an access token, or a certificate that the browser shows in the handshake.
import { keepToken, type Problem } from "./api";
import { type Child, h } from "./dom";
import { codeBlock } from "./parts";

/** Remembers that here a certificate is used: no secret, so that it may outlive the tab. */
const BY_CERTIFICATE = "tacit.by_certificate";

export function usesCertificate(): boolean {
  return localStorage.getItem(BY_CERTIFICATE) === "yes";
}

export function useCertificate(does: boolean): void {
  if (does) localStorage.setItem(BY_CERTIFICATE, "yes");
  else localStorage.removeItem(BY_CERTIFICATE);
}

// What a header can carry; the server decides what a token is.
const SENDABLE = /^[\x21-\x7e]+$/;

export interface SignIn {
  /** Why one is here again. */
  problem: Problem | null;
  /** To be called when there is something to try. */
  attempt: () => void;
}

export function signInPage({ problem, attempt }: SignIn): Child[] {
  const fault = h("p", { class: "note bad", role: "alert", hidden: problem === null }, problem?.detail ?? "");
  const tell = (text: string): void => {
    fault.hidden = false;
    fault.textContent = text;
  };
  const byToken = (event: SubmitEvent): void => {
    event.preventDefault();
    const text = String(new FormData(event.target as HTMLFormElement).get("token")).trim();
    if (!SENDABLE.test(text)) {
      tell("A token is one word, as it was shown when it was made; this is none.");
      return;
    }
    useCertificate(false);
    keepToken(text);
    attempt();
  };
  const byCertificate = (): void => {
    useCertificate(true);
    keepToken(null);
    attempt();
  };
  return [
    h("div", { class: "sign-in" },
      fault,
      h("form", { onsubmit: byToken, class: "card asking" },
        h("h2", {}, "With an access token"),
        h("label", { for: "token" }, "Access token"),
        h("input", { id: "token", name: "token", type: "password", required: true, autocomplete: "off",
            spellcheck: "false",
                     "aria-describedby": "token-kept" }),
        h("button", { type: "submit" }, "Sign in with the token"),
        h("p", { id: "token-kept" },
          "It is kept for this tab alone, until the tab is closed or you sign out, and is sent to this server alone.")),
      h("section", { class: "card", "aria-labelledby": "how" },
        h("h2", { id: "how" }, "How to get one"),
        h("p", {}, "An admin makes it; it is shown once, and opens what its role may see:"),
        codeBlock("tacit access token create --name ada --role viewer --ttl 12h")),
      h("section", { class: "card", "aria-labelledby": "certificate" },
        h("h2", { id: "certificate" }, "With a certificate"),
        h("p", {},
          "Where this browser holds a client certificate of this server’s CA, with a role, no token is needed."),
        h("button", { type: "button", onclick: byCertificate }, "Use this browser’s certificate"))),
  ];
}
