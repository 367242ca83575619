// The one-time link: makes the first admin, or sets the password of whom the link is for. What follows `#` is
// the link's token; browsers send it nowhere, and it is taken out of the address at once.

import { forgetToken, setUp } from "/session.js";

const byId = (id) => document.getElementById(id);
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

function say(text) {
  byId("error").textContent = text;
}

byId("setup-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (byId("password").value !== byId("again").value) {
    say("The two passwords differ.");
    return;
  }
  const button = event.target.querySelector("button");
  button.disabled = true;
  say("");
  try {
    await setUp(token, byId("password").value, byId("login").value.trim(), byId("name").value.trim());
    forgetToken();
    location.replace("/");
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
});

if (!token) say("The link is incomplete: open it as it was printed, with all that follows #.");
byId("login").focus();
