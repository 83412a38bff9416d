-- A conversation goes, with all that belongs to it.
local wrong = foreign(CONVERSATION, c)
if wrong then return wrong end
erase(c)
return true
