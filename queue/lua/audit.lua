-- Adds an entry to the audit of a project, and lets go of those that are too many or too old.
-- KEYS: 1 audit STREAM
-- ARGV: 1 offset ms, 2 most entries, 3 retention ms, then field, value ...
-- Returns {1}
local now = clock(ARGV[1])
-- writes follow
call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4))
call('XTRIM', KEYS[1], 'MINID', '~', now - ARGV[3])
call('PEXPIRE', KEYS[1], ARGV[3])
return {1}
