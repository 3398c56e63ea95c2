# Jobs: a recording too large for one call is planned, its chunks are scored at the same time, and the results are
# merged. A chunk that fails for good is a result of its own, and the rest of the recording is delivered; what the job
# cannot do without is written down as its error, and sent to the topic of the alarms.

locals {
  # What a state does when AWS refuses a call because too many run at once: for about six hours it calls again, in the end
  # every 150 s on average. That is no fault of the chunk, so it never becomes a gap of the recording: when the hours are
  # over the job fails, and can be started again.
  throttled = ["Lambda.TooManyRequestsException"]
  retry_when_throttled = {
    ErrorEquals     = local.throttled
    IntervalSeconds = 2
    MaxAttempts     = 150
    BackoffRate     = 2
    MaxDelaySeconds = 300
    JitterStrategy  = "FULL"
  }
  # What else passes by itself is tried again for minutes, anything else twice.
  retry_shortly = [
    {
      ErrorEquals     = concat(["Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"], local.throttled)
      IntervalSeconds = 2
      MaxAttempts     = 6
      BackoffRate     = 2
      JitterStrategy  = "FULL"
    },
    {
      ErrorEquals     = ["States.ALL"]
      IntervalSeconds = 1
      MaxAttempts     = 2
      BackoffRate     = 2
    },
  ]
  retry   = concat([local.retry_when_throttled], local.retry_shortly)
  give_up = [{ ErrorEquals = ["States.ALL"], ResultPath = "$.failure", Next = "WriteFailure" }]

  job_definition = {
    Comment        = "One recording: plan, score its chunks, merge"
    StartAt        = "Plan"
    TimeoutSeconds = var.job_timeout
    States = {
      Plan = {
        Type     = "Task"
        Resource = "arn:${local.partition}:states:::lambda:invoke"
        Parameters = {
          FunctionName = local.jobs.arn
          Payload      = { task = "plan", "job_id.$" = "$.job_id" }
        }
        ResultSelector = { "chunks.$" = "$.Payload.chunks" }
        ResultPath     = "$.plan"
        Retry          = local.retry
        Catch          = local.give_up
        Next           = "ScoreChunks"
      }
      ScoreChunks = {
        Type           = "Map"
        ItemsPath      = "$.plan.chunks"
        ItemSelector   = { "job_id.$" = "$.job_id", "chunk.$" = "$$.Map.Item.Value" }
        MaxConcurrency = var.job_max_concurrency
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "ScoreChunk"
          States = {
            ScoreChunk = {
              Type     = "Task"
              Resource = "arn:${local.partition}:states:::lambda:invoke"
              Parameters = {
                FunctionName = local.jobs.arn
                Payload      = { task = "score_chunk", "job_id.$" = "$.job_id", "chunk.$" = "$.chunk" }
              }
              ResultPath = null # the result is in the bucket; what goes on is which chunk it was
              Retry      = local.retry
              Catch = [
                { ErrorEquals = local.throttled, ResultPath = "$.failure", Next = "NoRoom" },
                { ErrorEquals = ["States.ALL"], ResultPath = "$.failure", Next = "ChunkFailed" },
              ]
              End = true
            }
            NoRoom = {
              Type  = "Fail"
              Error = local.throttled[0]
              Cause = "for hours there was no room for another call of the function; raise its concurrency, then start the job again"
            }
            ChunkFailed = {
              Type       = "Pass"
              Parameters = { "chunk.$" = "$.chunk", "error.$" = "$.failure.Error" }
              End        = true
            }
          }
        }
        ResultPath = "$.results"
        Catch      = local.give_up
        Next       = "Merge"
      }
      Merge = {
        Type     = "Task"
        Resource = "arn:${local.partition}:states:::lambda:invoke"
        Parameters = {
          FunctionName = local.jobs.arn
          Payload      = { task = "merge", "job_id.$" = "$.job_id", "failed.$" = "$.results" } # those that failed carry an error
        }
        OutputPath = "$.Payload"
        Retry      = local.retry
        Catch      = local.give_up
        End        = true
      }
      WriteFailure = {
        Type     = "Task"
        Resource = "arn:${local.partition}:states:::lambda:invoke"
        Parameters = {
          FunctionName = local.jobs.arn
          Payload      = { task = "fail", "job_id.$" = "$.job_id", "error.$" = "$.failure" }
        }
        ResultPath = null
        Retry      = local.retry_shortly
        Catch      = [{ ErrorEquals = ["States.ALL"], ResultPath = null, Next = "TellOfFailure" }]
        Next       = "TellOfFailure"
      }
      TellOfFailure = {
        Type     = "Task"
        Resource = "arn:${local.partition}:states:::sns:publish"
        Parameters = {
          TopicArn    = aws_sns_topic.alarms.arn
          Subject     = "${local.name}: a job failed"
          "Message.$" = "States.Format('Job {} failed with {}: {}', $.job_id, $.failure.Error, $.failure.Cause)"
        }
        ResultPath = null
        Next       = "Failed"
      }
      Failed = {
        Type      = "Fail"
        Error     = "JobFailed"
        CausePath = "$.failure.Cause"
      }
    }
  }
}

resource "aws_sfn_state_machine" "jobs" {
  name       = "${local.name}-jobs"
  type       = "STANDARD"
  role_arn   = aws_iam_role.jobs.arn
  definition = jsonencode(local.job_definition)

  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.jobs.arn}:*"
    level                  = "ERROR"
    include_execution_data = true # ids and chunks; no audio, no keys
  }
  tracing_configuration {
    enabled = true
  }

  depends_on = [aws_iam_role_policy.jobs]
}

# ---------------------------------------------------------------- executions that ended from outside

# An execution that was stopped, or ran out of time, cannot write its own error: the function does, when it is told.
resource "aws_cloudwatch_event_rule" "dead_jobs" {
  name        = "${local.name}-dead-jobs"
  description = "An execution of ${local.name}-jobs ended without a result"
  event_pattern = jsonencode({
    source      = ["aws.states"]
    detail-type = ["Step Functions Execution Status Change"]
    detail = {
      stateMachineArn = [aws_sfn_state_machine.jobs.arn]
      status          = ["ABORTED", "FAILED", "TIMED_OUT"]
    }
  })
}

resource "aws_cloudwatch_event_target" "dead_jobs" {
  rule = aws_cloudwatch_event_rule.dead_jobs.name
  arn  = local.jobs.arn
}

resource "aws_lambda_permission" "dead_jobs" {
  statement_id  = "dead-jobs"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  qualifier     = local.jobs.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.dead_jobs.arn
}
