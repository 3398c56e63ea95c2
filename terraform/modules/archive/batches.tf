# The state machine: a Distributed Map lists the batches of a run in S3 and starts an execution for each, which calls the
# function until nothing of its batch is left. A batch that fails is counted, and the others go on.

locals {
  # Calls for one batch. Each makes progress (the function fails otherwise) and has 15 minutes; with every call put off
  # as often as it may be, an execution stays below the 25,000 events of its history.
  max_calls = 50

  # What a state does when AWS refuses a call because too many run at once: for about six hours it calls again, in the end
  # every 150 s on average (as in modules/inference). What else passes by itself is tried again for minutes, anything
  # else twice; another model, version or settings are the same the next time.
  throttled = ["Lambda.TooManyRequestsException"]
  retry = [
    {
      ErrorEquals     = local.throttled
      IntervalSeconds = 2
      MaxAttempts     = 150
      BackoffRate     = 2
      MaxDelaySeconds = 300
      JitterStrategy  = "FULL"
    },
    {
      ErrorEquals     = ["Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"]
      IntervalSeconds = 2
      MaxAttempts     = 6
      BackoffRate     = 2
      JitterStrategy  = "FULL"
    },
    {
      ErrorEquals = ["ModelError", "ConfigError"]
      MaxAttempts = 0
    },
    {
      ErrorEquals     = ["States.ALL"]
      IntervalSeconds = 1
      MaxAttempts     = 2
      BackoffRate     = 2
    },
  ]

  # The input: {"bucket", "prefix": where the batches lie, "results": where their results go, "run": name of the run}
  definition = {
    Comment        = "One run of an archive: every batch by itself"
    StartAt        = "Prepare"
    TimeoutSeconds = var.timeout
    States = {
      Prepare = { # the four fields are there, or the execution fails at once
        Type = "Pass"
        Parameters = {
          "bucket.$"  = "$.bucket"
          "prefix.$"  = "$.prefix"
          "results.$" = "$.results"
          "map.$"     = "States.Format('archives/{}/map', $.run)"
        }
        Next = "AnalyseBatches"
      }
      AnalyseBatches = {
        Type  = "Map"
        Label = "Batches"
        ItemReader = {
          Resource   = "arn:${local.partition}:states:::s3:listObjectsV2"
          Parameters = { "Bucket.$" = "$.bucket", "Prefix.$" = "$.prefix" }
        }
        ItemSelector = {
          "bucket.$"  = "$.bucket"
          "key.$"     = "$$.Map.Item.Value.Key"
          "results.$" = "$.results"
          calls       = { made = 0 }
        }
        MaxConcurrency             = var.max_concurrency
        ToleratedFailurePercentage = var.tolerated_failure_percentage
        ItemProcessor = {
          ProcessorConfig = { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" } # a batch may take hours
          StartAt         = "AnalyseBatch"
          States = {
            AnalyseBatch = {
              Type     = "Task"
              Resource = "arn:${local.partition}:states:::lambda:invoke"
              Parameters = {
                FunctionName = aws_lambda_alias.live.arn
                Payload = {
                  task        = "analyse_batch"
                  "bucket.$"  = "$.bucket"
                  "key.$"     = "$.key"
                  "results.$" = "$.results"
                }
              }
              ResultSelector = {
                "batch.$"  = "$.Payload.batch"
                "done.$"   = "$.Payload.done"
                "left.$"   = "$.Payload.left"
                "failed.$" = "$.Payload.failed"
              }
              ResultPath = "$.answer"
              Retry      = local.retry
              Next       = "CountCall"
            }
            CountCall = {
              Type       = "Pass"
              Parameters = { "made.$" = "States.MathAdd($.calls.made, 1)" }
              ResultPath = "$.calls"
              Next       = "IsAnythingLeft"
            }
            IsAnythingLeft = {
              Type = "Choice"
              Choices = [
                { Variable = "$.answer.left", NumericEquals = 0, Next = "BatchDone" },
                { Variable = "$.calls.made", NumericGreaterThanEquals = local.max_calls, Next = "TooManyCalls" },
              ]
              Default = "AnalyseBatch"
            }
            BatchDone = {
              Type       = "Pass"
              OutputPath = "$.answer"
              End        = true
            }
            TooManyCalls = {
              Type  = "Fail"
              Error = "TooManyCalls"
              Cause = "after ${local.max_calls} calls of the function something of the batch was still left; run the archive again, which makes batches of it anew"
            }
          }
        }
        ResultWriter = {
          Resource   = "arn:${local.partition}:states:::s3:putObject"
          Parameters = { "Bucket.$" = "$.bucket", "Prefix.$" = "$.map" }
        }
        End = true
      }
    }
  }
}

resource "aws_sfn_state_machine" "this" {
  name       = local.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.batches.arn
  definition = jsonencode(local.definition)

  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.batches.arn}:*"
    level                  = "ERROR"
    include_execution_data = true # names of objects; no audio, no keys
  }
  tracing_configuration {
    enabled = true
  }

  depends_on = [aws_iam_role_policy.batches]
}
