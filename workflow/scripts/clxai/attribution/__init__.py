"""Attribution methods: one registered function each, with its semantics declared.

`base` holds the contract, `explaining` runs a method over heads and images; the methods live by family in gradients, cams,
propagation, occluding and controls. A method's module is imported only when it is used.
"""
