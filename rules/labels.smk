# Label judges: shares of each label by category.
