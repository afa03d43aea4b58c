"""Small faults that tests once did not notice: each is put into a copy of the code, and the tests meant for it run."""
