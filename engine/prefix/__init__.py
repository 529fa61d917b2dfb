"""What lies before everything that trains: computed once, and from then on remembered.

`calls` watches a forward pass, `cut` finds where its frozen beginning ends and answers for it,
`store` keeps the activations, `using` does so for the data of a session.
"""
