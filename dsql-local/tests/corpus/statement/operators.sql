SELECT 1 -- x
+-2*/* ; */3 @--;
- 4; SELECT a-'b;'-c