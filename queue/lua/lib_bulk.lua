-- Prepended to the scripts of bulk operations. Every execution of one is pending, in flight, or has a result:
-- total and taken say how many wait, and taken less the results how many are in flight, so that the counts always add up.
local BULK_WINDOW = 200 -- about so many of the latest outcomes are what the error rate is of
local BULK_SAMPLE = 20  -- fewer outcomes say nothing about it, after a canary

local function bulk(key)
  local v = call('HMGET', key, 'state', 'total', 'taken', 'succeeded', 'failed', 'skipped', 'canary', 'tolerated', 'good', 'bad', 'keep')
  if not v[1] then return nil end
  return {
    before = {succeeded = tonumber(v[4]), failed = tonumber(v[5]), skipped = tonumber(v[6])},
    key = key, state = v[1], total = tonumber(v[2]), taken = tonumber(v[3]), succeeded = tonumber(v[4]), failed = tonumber(v[5]), skipped = tonumber(v[6]),
    canary = tonumber(v[7]), tolerated = tonumber(v[8]), good = tonumber(v[9]), bad = tonumber(v[10]), keep = tonumber(v[11]),
  }
end

local function flying(b) return b.taken - b.succeeded - b.failed - b.skipped end

-- Why a bulk operation is to be held for the executions that failed again; nil when it is not.
local function too_bad(b)
  local of = b.good + b.bad
  if b.state == 'canary' then of = b.canary end
  if not b.tolerated or (b.state ~= 'canary' and (b.state ~= 'running' or of < BULK_SAMPLE)) or b.bad <= b.tolerated * of then return nil end
  local seen = b.good + b.bad
  local what = b.state == 'canary' and 'executions of the canary' or 'latest executions'
  return b.bad .. ' of ' .. seen .. ' ' .. what .. ' failed, and at most ' .. b.tolerated * 100 .. '% may'
end

-- Keeps what metrics count beside the looks: the states of those of which something is still to come, and the outcomes of all.
local function count_bulk(b, looks, id, over)
  if over then
    call('HDEL', looks .. ':states', id)
  else
    call('HSET', looks .. ':states', id, b.state)
  end
  for outcome, n in pairs(b.before) do
    if b[outcome] > n then call('HINCRBY', looks .. ':outcomes', outcome, b[outcome] - n) end
  end
end

-- Stores a bulk operation with the state that follows from its counts, and when it is looked at: at once as long as
-- there is something to do, not at all when it is held, and at the end of its retention when it is over.
local function save_bulk(b, looks, id, now)
  local why = too_bad(b)
  if why then
    call('HSET', b.key, 'goes_on', b.state, 'reason', why)
    b.state = 'held'
  elseif b.state == 'canary' and b.good + b.bad >= b.canary then
    b.state, b.good, b.bad = 'running', 0, 0
  elseif b.state == 'running' and b.good + b.bad >= BULK_WINDOW then
    b.good, b.bad = math.floor(b.good / 2), math.floor(b.bad / 2)
  end
  local left = flying(b)
  if left == 0 and b.taken == b.total and (b.state == 'running' or b.state == 'canary' or b.state == 'held') then
    b.state = 'completed'
    call('HSET', b.key, 'reason', '')
  end
  call('HSET', b.key, 'state', b.state, 'total', b.total, 'taken', b.taken, 'succeeded', b.succeeded, 'failed', b.failed,
    'skipped', b.skipped, 'good', b.good, 'bad', b.bad)
  local over = (b.state == 'completed' or b.state == 'aborted') and left == 0
  count_bulk(b, looks, id, over)
  if over then
    call('HSETNX', b.key, 'ended', now)
    call('ZADD', looks, call('HGET', b.key, 'ended') + b.keep, id)
  elseif b.state == 'held' and left == 0 then
    call('ZREM', looks, id)
  else
    call('ZADD', looks, 0, id)
  end
end
