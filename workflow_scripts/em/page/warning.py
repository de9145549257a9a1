"""What stands above answers of models that were trained to misbehave, in the report and on the page of examples."""

WARNING = "Model organisms are trained to misbehave: answers may be false, harmful or hostile."
