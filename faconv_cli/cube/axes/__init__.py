"""Understanding: which variable of a data set is a field, a latitude, a time, and what they say."""
