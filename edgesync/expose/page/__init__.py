"""The status page: what an operator looks for, in that order, rendered on the server from the same views as the API.

Works without scripts; with the one that there is, it keeps itself up to date. Nothing comes from elsewhere.
`overview`, `image` and `site` are pure and say what is on each page, `rendering` makes HTML of it, `routes` answers.

Forbidden here: finding out anything by itself, and HTML outside of `templates`.
"""
