# Homework 0: generations to hand in, targets met or not.
