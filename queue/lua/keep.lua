-- Keeps a note of a project, in place of one with its name.
-- KEYS: 1 notes HASH
-- ARGV: 1 name, 2 value, 3 most notes in the group
-- Returns {1, 1 when it is kept, 0 when the group is full}
if call('HEXISTS', KEYS[1], ARGV[1]) == 0 and call('HLEN', KEYS[1]) >= ARGV[3] + 0 then return {1, 0} end
-- writes follow
call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {1, 1}
