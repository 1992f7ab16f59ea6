"""The application of docs/commands.md, run with any redis-py.

    Application    its functions, each called in a process of a Python that has that redis-py
    newest         a Python with the newest redis-py of the registry

Run as a script it is that process: calls and answers come and go, pickled, by stdin and stdout.
"""

import fcntl
import pickle
import subprocess
import sys

import redis


class Application:
    """Application(python, text, port, protocol=3).log_in(...) calls log_in, which the text defines.

    In the text `r` is a client of the server on that port. `protocol` None leaves it to redis-py.
    """

    class Refused(redis.ResponseError):
        """The server's error, as redis-py gave it to the application."""

        def __init__(self, said):
            super().__init__(said)
            self.code = said.split(" ", 1)[0]

    def __init__(self, python, text, port, protocol=None):
        self.process = subprocess.Popen([python, __file__], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.ask((text, port, protocol))

    def ask(self, question):
        pickle.dump(question, self.process.stdin)
        self.process.stdin.flush()
        answer, refused = pickle.load(self.process.stdout)
        if refused is not None:
            raise self.Refused(refused)
        return answer

    def __getattr__(self, function):
        return lambda *arguments: self.ask((function, arguments))

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def newest(place):
    """The Python of a virtual environment in `place`, a path, made where it is not there yet.

    Raises OSError with what pip says where it cannot be had.
    """
    place.mkdir(parents=True, exist_ok=True)
    python, made = place / "bin" / "python", place / "made"
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            for command in ([sys.executable, "-m", "venv", place],
                            [python, "-m", "pip", "--quiet", "install", "redis"]):
                ran = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
                if ran.returncode != 0:
                    raise OSError(ran.stdout.strip() or f"{command[2]} failed")
            made.touch()
    return python


def serve():
    def answer(*what):
        pickle.dump(what, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    text, port, protocol = pickle.load(sys.stdin.buffer)
    options = {} if protocol is None else {"protocol": protocol}
    names = {"redis": redis, "r": redis.Redis(port=port, **options)}
    exec(text, names)
    answer(None, None)
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer(names[function](*arguments), None)
        except redis.RedisError as error:
            answer(None, str(error))


if __name__ == "__main__":
    serve()
