/**
 * Errors: one class a code, under SessionGateError. What the driver itself raises (a lost connection, a
 * timeout) and what the server says in its own words (READONLY, OOM, NOPERM) keep the driver's class.
 *
 * No sign key and no token is in any of them. Errors of the server are made anew, so nothing of the command
 * that failed hangs on them.
 */

/** The base of all of them; `code` is the first word of the server's reply. */
export class SessionGateError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }

  static {
    // On the prototype: an own `name` would be one more line wherever the error is inspected.
    Object.defineProperty(SessionGateError.prototype, "name", {
      get(this: SessionGateError) {
        return this.constructor.name;
      },
    });
  }
}

/** What was given is not of a token's form. */
export class BadToken extends SessionGateError {
  constructor(message = "the token is not of a token's form") {
    super("BADTOKEN", message);
  }
}

/** The token is signed with none of the sign keys. */
export class BadSignature extends SessionGateError {
  constructor(message = "the token is not signed with a sign key of this gate") {
    super("BADSIGNATURE", message);
  }
}

/** There is no such session: it was never started, was ended, or expired. */
export class NoSession extends SessionGateError {
  constructor(message = "no such session: it was never started, was ended, or expired") {
    super("NOSESSION", message);
  }
}

/** The session has no payload of that name. */
export class NoPayload extends SessionGateError {
  constructor(message = "the session has no payload of that name") {
    super("NOPAYLOAD", message);
  }
}

/** A session of the token to adopt lives already. */
export class BusyToken extends SessionGateError {
  constructor(message = "a session of the token lives already") {
    super("BUSYTOKEN", message);
  }
}

/** The key named as the token or the owner holds something else. */
export class WrongType extends SessionGateError {
  constructor(message = "the key holds something that is no session") {
    super("WRONGTYPE", message);
  }
}

/** The node serves no hash slot where a session could be started. */
export class NoSlot extends SessionGateError {
  constructor(message = "the node serves no hash slot where a session could be started") {
    super("NOSLOT", message);
  }
}

/** The hash slot went on moving for longer than was waited. */
export class TryAgain extends SessionGateError {
  constructor(message = "the hash slot is being moved: try again") {
    super("TRYAGAIN", message);
  }
}

/** The cluster is down. */
export class ClusterDown extends SessionGateError {
  constructor(message = "the cluster is down") {
    super("CLUSTERDOWN", message);
  }
}

/** An argument is wrong; the message says which and what is allowed. */
export class BadArgument extends SessionGateError {
  constructor(message: string) {
    super("ERR", message);
  }
}

/** The server has no SessionGate, or one that is too old for the command. */
export class NotLoaded extends SessionGateError {
  constructor(command: string) {
    super(
      "NOTLOADED",
      `the server does not know ${command}: load the module, or a newer version of it`,
    );
  }
}

/** A payload is not what the serializer reads. */
export class BadPayload extends SessionGateError {
  constructor(message: string) {
    super("BADPAYLOAD", message);
  }
}

/** Somebody else had the lock for as long as was waited. */
export class LockTimeout extends SessionGateError {
  constructor(message = "somebody else had the lock for as long as was waited") {
    super("LOCKTIMEOUT", message);
  }
}

type Made = new (message: string) => SessionGateError;

const BY_CODE: ReadonlyMap<string, Made> = new Map<string, Made>([
  ["BADTOKEN", BadToken],
  ["BADSIGNATURE", BadSignature],
  ["NOSESSION", NoSession],
  ["NOPAYLOAD", NoPayload],
  ["BUSYTOKEN", BusyToken],
  ["WRONGTYPE", WrongType],
  ["NOSLOT", NoSlot],
  ["TRYAGAIN", TryAgain],
  ["CLUSTERDOWN", ClusterDown],
  ["ERR", BadArgument],
]);

/** Whether the reply asks to send the command again a little later. */
export function isTryAgain(reply: unknown): boolean {
  return reply instanceof Error && reply.message.startsWith("TRYAGAIN");
}

/** The error to throw for what the driver answered to that command. */
export function errorOf(raised: Error, command: string): Error {
  const message = raised.message;
  if (/^ERR unknown command/i.test(message)) return new NotLoaded(command); // it repeats the arguments
  const space = message.indexOf(" ");
  const made = BY_CODE.get(space < 0 ? message : message.slice(0, space));
  if (made) return new made(message.slice(space + 1));
  // ioredis repeats TRYAGAIN by itself, at random nodes, and gives up with words of its own.
  if (message.startsWith("Too many Cluster redirections")) return new TryAgain();
  return cleaned(raised);
}

/** The driver's own error without the command that it carries. */
function cleaned(raised: Error): Error {
  const carrier = raised as Error & { command?: unknown; args?: unknown };
  if ("command" in carrier) delete carrier.command;
  if ("args" in carrier) delete carrier.args;
  return raised;
}
