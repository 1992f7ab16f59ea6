/** HTTP servers and browsers for the tests. */
import { once } from "node:events";
import { createServer } from "node:http";

/** Serve a listener (an Express application, Koa's callback) on a free port. */
export async function listen(listener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A browser: it keeps cookies, and sends them with each request. */
export class Browser {
  cookies = new Map();

  constructor(url) {
    this.url = url;
  }

  /** A second tab or a thief: another browser with the same cookies. */
  clone() {
    const other = new Browser(this.url);
    other.cookies = new Map(this.cookies);
    return other;
  }

  async get(path, { headers = {}, method = "GET" } = {}) {
    const cookie = Array.from(this.cookies, ([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(this.url + path, {
      method,
      redirect: "manual",
      headers: cookie ? { cookie, ...headers } : headers,
    });
    const set = response.headers.getSetCookie();
    for (const line of set) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      const [, scope = "/"] = /; *path=([^;]*)/i.exec(line) ?? [];
      if (!path.startsWith(scope)) continue; // a cookie of other pages
      if (value === "" || /expires=thu, 01 jan 1970/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    return { status: response.status, text, set, json: () => JSON.parse(text) };
  }

  async json(path) {
    return (await this.get(path)).json();
  }
}

/** A promise and the function that fulfils it: for requests that wait for each other. */
export function gateway() {
  let open;
  const opened = new Promise((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
