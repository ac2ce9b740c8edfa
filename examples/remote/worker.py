"""A worker in another language: it counts words, over HTTP and with the standard library only. See docs/remote-workers.md."""
import collections, json, os, threading, time, urllib.parse, urllib.request
SERVER, KEY = os.environ.get("REDRIVE_SERVER", "http://127.0.0.1:8080"), os.environ.get("REDRIVE_API_KEY", "")
POLL = {"types": ["word.count"], "worker": os.environ.get("WORKER", f"python:{os.getpid()}"), "wait": "30s", "lease": os.environ.get("LEASE", "30s")}

def call(path, body):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    return json.load(urllib.request.urlopen(urllib.request.Request(f"{SERVER}/v1/remote/{path}", json.dumps(body).encode(), headers), timeout=90))

def word_count(given, over):  # the task type itself; it stops when its run is over
    words = given["text"].lower().split()
    return None if any(over.wait(given["pause"]) for _ in words) else dict(collections.Counter(words))

def beat(run, path, over):  # gives signs of life until the run is over
    while not over.wait(run["heartbeat_seconds"]):
        try:
            if call(f"{path}/heartbeat", {"token": run["token"]})["canceled"]:
                over.set()
        except OSError as e:
            if getattr(e, "code", 0) == 409:  # the run is over; any other trouble may pass
                over.set()

def work(run):
    path, over = f'{run["execution"]}/{urllib.parse.quote(run["ref"], safe="")}', threading.Event()
    threading.Thread(target=beat, args=(run, path, over), daemon=True).start()
    try:
        report, body = "complete", {"output": word_count(run["input"], over)}
    except Exception as e:
        report, body = "fail", {"error": {"code": type(e).__name__, "message": str(e) or "no message", "retryable": False}}
    if not over.is_set():
        over.set()
        call(f"{path}/{report}", {"token": run["token"], **body})

while True:
    try:
        for run in call("poll", POLL)["items"]:
            work(run)
    except OSError as e:  # a refusal, or the server is away; a run that was lost with it is delivered again
        print(f"trying again: {e}", flush=True)
        time.sleep(1)
