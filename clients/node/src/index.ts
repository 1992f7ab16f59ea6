/** Sessions of SessionGate: the gate with its commands, sessions above it, and the errors. */
export type { GateOptions, Serializer, Verified } from "./access.js";
export type { Client, IORedisClient, NodeRedisClient } from "./driver.js";
export {
  BadArgument,
  BadPayload,
  BadSignature,
  BadToken,
  BusyToken,
  ClusterDown,
  LockTimeout,
  NoPayload,
  NoSession,
  NoSlot,
  NotLoaded,
  SessionGateError,
  TryAgain,
  WrongType,
} from "./errors.js";
export {
  type Condition,
  type Device,
  Gate,
  type Life,
  type OwnedLife,
  type PayloadLife,
  type Rotation,
} from "./gate.js";
export type { Lock, LockOptions } from "./lock.js";
export { Session } from "./session.js";
export type { TokenFormat } from "./token.js";
export type { Bytes, Info, PayloadData } from "./wire.js";
