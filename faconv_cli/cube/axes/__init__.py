"""Understanding: which variable of a data set is a field, a latitude, a time, and what they say.

- roles: which variable is which coordinate, by attributes, units, names.
- choose: one member and one lead of several.
- coordinates: the coordinates of one data set, and the grid of each variable: how latitude and longitude are
  found. angles: their numbers in degrees; horizontal: the grid they make; areas: cell areas beside them.
- times: which coordinate is the time of a variable; decode_time: its numbers to stamps; intervals: means that
  are stamped at their end; written: stamps that were never written.
- conventions: all of it together: the layers of a data set. After it nobody asks for a coordinate's name.
- align: a field brought to another grid by its coordinates.
"""
