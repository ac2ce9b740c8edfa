-- Binds an idempotency key to an execution id, unless it is bound already.
-- KEYS: 1 idempotency HASH
-- ARGV: 1 id, 2 hash of the request, 3 ttl ms
-- Returns {1, id, hash} that hold the key
local held = call('HMGET', KEYS[1], 'id', 'hash')
if held[1] then return {1, held[1], held[2]} end
-- writes follow
call('HSET', KEYS[1], 'id', ARGV[1], 'hash', ARGV[2])
call('PEXPIRE', KEYS[1], ARGV[3])
return {1, ARGV[1], ARGV[2]}
