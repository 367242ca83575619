// Who is signed in. A person has a session in a cookie that scripts cannot read; a program's token, pasted or
// in the URL's fragment, lives in sessionStorage for this tab and goes into the Authorization header alone.

const KEY = "holdfast-token";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `answer ${status}`);
    this.status = status;
  }
}

export function takeToken() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (!match) return false;
  keepToken(decodeURIComponent(match[1]));
  history.replaceState(null, "", location.pathname);
  return true;
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);

export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, cache: "no-store", ...options });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}

export const get = async (path) => (await ask(path)).json();

const send = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const logIn = (login, password) => send("/api/fleet/login", { login, password });

export const setUp = (token, password, login, name) =>
  send("/api/fleet/setup", { token, password, ...(login ? { login, name } : {}) });

// A token is forgotten; a session is ended at the centre, too.
export async function signOut() {
  const token = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!token) await ask("/api/fleet/logout", { method: "POST" }).catch(() => {});
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;

export const forgetToken = () => sessionStorage.removeItem(KEY);

// Whoever asks, or null where nobody is signed in.
export async function whoAmI() {
  try {
    return await get("/api/fleet/me");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null;
    throw error;
  }
}
