-- A conversation goes, with all that belongs to it.
erase(c)
return true
