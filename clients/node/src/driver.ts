/**
 * Two drivers, one way to send: commands that belong to one token go together, in one round trip where the
 * driver can, and each is answered with its reply or with the driver's error. Nothing is repeated here.
 *
 * A driver must be told the key of a command: neither knows SessionGate's commands, and the first argument,
 * which they would take for the key in a cluster, is the sign key.
 */

/** What a command is made of: bytes, or text that is sent as UTF-8. */
export type Argument = string | Buffer;

export interface Command {
  /** The token or the owner: what routes the command; undefined: to any master. */
  readonly key: string | undefined;
  /** Whether replicas may answer, if the application has its driver read from them. */
  readonly readonly: boolean;
  /** The name, and all that follows it. */
  readonly line: readonly [string, ...Argument[]];
  /** Whether bulk strings come as text instead of bytes. */
  readonly asText?: boolean;
}

/** Bulk strings are Buffers or text, maps are flat arrays or objects; an Error is what the driver raised. */
export type Reply = unknown;

export interface Driver {
  readonly cluster: boolean;
  send(commands: readonly Command[]): Promise<Reply[]>;
}

/** A client of node-redis (`redis` 5 or 6): a client, a pool, a sentinel or a cluster. */
export interface NodeRedisClient {
  // biome-ignore lint/suspicious/noExplicitAny: its arguments depend on the kind of client.
  sendCommand(...args: any[]): any;
  readonly isOpen: boolean;
}

/** A client of `ioredis` 5 or 6: Redis or Cluster. */
export interface IORedisClient {
  // biome-ignore lint/suspicious/noExplicitAny: its Command class is the driver's own.
  sendCommand(...args: any[]): any;
  readonly status: string;
  readonly isCluster: boolean;
}

export type Client = NodeRedisClient | IORedisClient;

/** The driver of a client that the application has made. */
export function driverOf(client: Client): Driver {
  const known = client as Partial<NodeRedisClient & IORedisClient & Record<string, unknown>> | null;
  if (typeof known?.sendCommand === "function") {
    if (typeof known.isCluster === "boolean" && typeof known.status === "string") {
      return new IORedis(client as never);
    }
    if (typeof known.nodeClient === "function") return new NodeRedisCluster(client as never);
    if (typeof known.getMasterNode === "function") return new NodeRedisSentinel(client as never);
    if (typeof known.execute === "function") return new NodeRedisPool(client as never);
    if (typeof known.isOpen === "boolean") return new NodeRedis(client as never);
  }
  throw new TypeError(
    "the client is neither one of redis (5 or later) nor one of ioredis (5 or later)",
  );
}

/** Wait for all, with errors among the replies. */
function all(promises: readonly PromiseLike<Reply>[]): Promise<Reply[]> {
  return new Promise((resolve) => {
    const replies = new Array<Reply>(promises.length);
    let missing = promises.length;
    if (missing === 0) resolve(replies);
    promises.forEach((promise, index) => {
      const settle = (reply: Reply) => {
        replies[index] = reply;
        if (--missing === 0) resolve(replies);
      };
      promise.then(settle, (error) => settle(raised(error)));
    });
  });
}

const raised = (error: unknown): Error =>
  error instanceof Error ? error : new Error("the driver failed");

// node-redis --------------------------------------------------------------------------------------

interface Options {
  readonly typeMapping: object;
  readonly timeout?: undefined;
}

/** By the type bytes of RESP: `$`, bulk strings, and `%`, maps, in which a plain object loses `__proto__`. */
const BYTES = { 36: Buffer, 37: Array };
const TEXT = { 36: String, 37: Array };

/**
 * From 6 on node-redis sets a timer for each command, until it is written. While the connection is up that
 * is at the end of this tick, so the timer is all cost.
 */
function optionsFor(command: Command, isReady: boolean | undefined): Options {
  const typeMapping = command.asText ? TEXT : BYTES;
  return isReady ? { typeMapping, timeout: undefined } : { typeMapping };
}

interface Sender {
  readonly isReady: boolean;
  sendCommand(args: readonly Argument[], options: Options): Promise<Reply>;
}

function sendAll(client: Sender, commands: readonly Command[]): Promise<Reply[]> {
  const { isReady } = client;
  return all(commands.map((it) => client.sendCommand(it.line, optionsFor(it, isReady))));
}

class NodeRedis implements Driver {
  readonly cluster = false;
  readonly #client: Sender;

  constructor(client: Sender) {
    this.#client = client;
  }

  send(commands: readonly Command[]): Promise<Reply[]> {
    return sendAll(this.#client, commands);
  }
}

interface Pool {
  execute<T>(use: (client: Sender) => Promise<T>): Promise<T>;
}

class NodeRedisPool implements Driver {
  readonly cluster = false;
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async send(commands: readonly Command[]): Promise<Reply[]> {
    try {
      return await this.#pool.execute((client) => sendAll(client, commands));
    } catch (error) {
      return commands.map(() => raised(error)); // no connection was to be had
    }
  }
}

interface Sentinel {
  sendCommand(readonly: boolean, args: readonly Argument[], options: Options): Promise<Reply>;
}

class NodeRedisSentinel implements Driver {
  readonly cluster = false;
  readonly #client: Sentinel;

  constructor(client: Sentinel) {
    this.#client = client;
  }

  send(commands: readonly Command[]): Promise<Reply[]> {
    return all(
      commands.map((it) => this.#client.sendCommand(it.readonly, it.line, optionsFor(it, false))),
    );
  }
}

interface Cluster {
  readonly isReady?: boolean;
  sendCommand(
    key: string | undefined,
    readonly: boolean,
    args: readonly Argument[],
    options: Options,
  ): Promise<Reply>;
}

class NodeRedisCluster implements Driver {
  readonly cluster = true;
  readonly #client: Cluster;

  constructor(client: Cluster) {
    this.#client = client;
  }

  send(commands: readonly Command[]): Promise<Reply[]> {
    const { isReady } = this.#client;
    return all(
      commands.map((it) =>
        this.#client.sendCommand(it.key, it.readonly, it.line, optionsFor(it, isReady)),
      ),
    );
  }
}

// ioredis -----------------------------------------------------------------------------------------

interface DriverCommand {
  readonly promise: Promise<Reply>;
  getKeys(): string[];
  isReadOnly?: boolean;
}
type CommandClass = new (
  name: string,
  args: readonly Argument[],
  options?: object,
) => DriverCommand;

const AS_TEXT = { replyEncoding: "utf8" };

interface Redis {
  readonly isCluster: boolean;
  readonly options: object;
  /** The socket, as long as there is one. */
  readonly stream?: { cork(): void; uncork(): void };
  sendCommand(command: DriverCommand): Promise<Reply>;
  call(name: string): Promise<Reply>;
}

class IORedis implements Driver {
  readonly cluster: boolean;
  readonly #client: Redis;
  readonly #Command: CommandClass;
  #corked: Redis["stream"];

  constructor(client: Redis) {
    this.cluster = client.isCluster;
    this.#client = client;
    this.#Command = commandClass(client);
  }

  send(commands: readonly Command[]): Promise<Reply[]> {
    if (!this.cluster) this.#cork();
    return all(
      commands.map(({ line: [name, ...args], key, readonly, asText }) => {
        const command = new this.#Command(name, args, asText ? AS_TEXT : undefined);
        command.getKeys = () => (key === undefined ? [] : [key]);
        if (readonly) command.isReadOnly = true;
        this.#client.sendCommand(command);
        return command.promise;
      }),
    );
  }

  /** ioredis writes each command by itself: hold the socket, and what one tick sends is one write. */
  #cork(): void {
    const stream = this.#client.stream;
    if (!stream || stream === this.#corked) return;
    this.#corked = stream;
    stream.cork();
    setImmediate(() => {
      if (this.#corked === stream) this.#corked = undefined;
      stream.uncork();
    });
  }
}

/** The Command class of the very copy of ioredis that the client is from: what a call of it would send. */
function commandClass(client: Redis): CommandClass {
  let Command: CommandClass | undefined;
  const spy: Redis = Object.create(client, {
    options: { value: { ...client.options, enableAutoPipelining: false } },
    sendCommand: {
      value: (command: DriverCommand) => {
        Command = command.constructor as CommandClass;
        return Promise.resolve();
      },
    },
  });
  spy.call("PING");
  if (!Command)
    throw new TypeError("this version of ioredis is not known: it has no Command class");
  return Command;
}
