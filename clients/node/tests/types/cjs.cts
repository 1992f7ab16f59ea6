import express = require("express");
import session = require("express-session");
import redis = require("redis");
import sessiongate = require("sessiongate");
import adapter = require("sessiongate/express");

const gate = new sessiongate.Gate(redis.createClient(), { signKeys: ["key"] });
const store = new adapter.SessionGateStore(gate);
const app = express();
app.use(
  session({ store, genid: store.genid, secret: "s", resave: false, saveUninitialized: false }),
);
