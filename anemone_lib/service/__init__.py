"""The package behind HTTP: on a laptop by uvicorn, on AWS as a Lambda container.

==============  ====================================================================================
`settings`      what an instance is told by its environment or the command line
`problems`      errors as clients see them: a status, a short name, what to do
`engine`        the model and the settings, loaded once; one recording → its result
`bundle`        the model bundle from S3 into ``/tmp``
`incoming`      the body of a request → an open file, never read past its limit
`stores`        objects in a folder or an S3 bucket
`predict`       one recording in, its result out: /predict and a direct invocation
`render`        a result in every spelling
`jobs`          large recordings: create, upload, start, describe; state is derived from the store
`work`          the three tasks of a job: plan, score_chunk, merge; any worker, any number of times
`lanes`         the tasks of jobs in local processes
`app`           the routes (FastAPI), and the page at ``/``
`schemas`       what OpenAPI says of them
`local`         the app on a laptop
`aws`           the Lambda entry
==============  ====================================================================================
"""
