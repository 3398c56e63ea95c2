"""The package behind HTTP: uvicorn serves it on one computer, a Lambda container on AWS.

The service receives recordings, detects their events with the functions of the library, and returns the results.
`routes`, with one router for each subject, and `work`, with the tasks of a job, are where to start. Imports every
package of the library except `anemone_lib.cli`, which is above it.

The modules from top to bottom; a module imports only from lines below its own, and `lint-imports` checks it:

==============  ====================================================================================
`deployment`    compares an endpoint with the library; starts a local service
`aws`           the entry of the Lambda image
`function`      one event of Lambda in, its answer out
`local`         the app on one computer
`app`           the FastAPI app: routes, error handlers, CORS
`routes`        the routers: /predict, /jobs, uploads and files, /health and the page
`documents`     /docs, with Swagger UI as it is bundled
`guard`         refuses requests from pages of other origins and for names of other hosts
`middleware`    around every route: request id, answers to errors, one record of each request
`predict`       one recording in, its result out: /predict and a direct invocation
`lane`          the local process that does the tasks of jobs
`tasks`         one task of a job, as a message names it
`work`          the tasks of a job: plan, score_chunk, merge, draw, fail
`jobs`          create, upload, start, describe and delete jobs; the state of a job follows from its objects
`claims`        only one worker works on a chunk; the number of attempts
`opening`       the recordings of jobs that a worker keeps open from task to task
`connections`   uvicorn's protocol, which closes connections that wait too long
`engine`        loads the model and the settings once; one recording → its detections
`incoming`      the body of a request → an open file, not read past its limit
`openapi`       the description in OpenAPI, from the models and the routes
`bundle`        downloads the model bundle from S3
`folder_store`  objects as files under a folder
`s3_store`      objects in an S3 bucket
`stores`        the operations that jobs need from a store
`render`        the result in any format, as bytes, and the names of its files
`admission`     how many recordings are analysed at once, and how many may wait
`fields`        the fields of a request → its options; what is wrong with them, in words
`models`        what clients send and get, as typed models
`problems`      errors as clients see them: a status, a short name, what to do
`settings`      the settings of a running service
==============  ====================================================================================
"""
