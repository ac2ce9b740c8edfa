-- Holds a bulk operation, lets it go on, or aborts it: what was sent out is waited for, and nothing more is taken or sent out.
-- KEYS: 1 bulk HASH, 2 looks ZSET
-- ARGV: 1 id, 2 offset ms, 3 hold|continue|abort, 4 reason
-- Returns {1} | {-1} gone | {-6, state} not in this state
local b, op = bulk(KEYS[1]), ARGV[3]
if not b then return {-1} end
local goes = b.state == 'running' or b.state == 'canary'
if op == 'hold' and b.state == 'held' or op == 'continue' and goes or op == 'abort' and b.state == 'aborted' then return {1} end
if not (op == 'hold' and goes or op == 'continue' and b.state == 'held' or
  op == 'abort' and (goes or b.state == 'held' or b.state == 'creating')) then return {-6, b.state} end
local now = clock(ARGV[2])
-- writes follow
if op == 'continue' then
  b.state, b.good, b.bad = call('HGET', KEYS[1], 'goes_on'), 0, 0 -- a canary that did not pass is sent once more
  call('HDEL', KEYS[1], 'goes_on')
  call('HSET', KEYS[1], 'reason', '')
else
  if op == 'hold' then call('HSET', KEYS[1], 'goes_on', b.state) end
  b.state = op == 'hold' and 'held' or 'aborted'
  call('HSET', KEYS[1], 'reason', ARGV[4])
end
save_bulk(b, KEYS[2], ARGV[1], now)
return {1}
