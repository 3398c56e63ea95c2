# Logs, alarms, and the dashboard.

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${local.name}"
  retention_in_days = var.log_retention_days
}

# If this group is missing, API Gateway makes it itself. Such a group never expires, and destroy does not delete it.
resource "aws_cloudwatch_log_group" "api_execution" {
  name              = "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.this.id}/${var.api_gateway_stage_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "jobs" {
  name              = "/aws/vendedlogs/states/${local.name}-jobs" # the prefix that keeps the resource policy small
  retention_in_days = var.log_retention_days
}

# CloudWatch cannot publish to a topic under the key that AWS manages for SNS; the messages hold names and times alone.
resource "aws_sns_topic" "alarms" {
  name = "${local.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.alarms.email == null ? 0 : 1
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarms.email
}

locals {
  function_dimension = { FunctionName = aws_lambda_function.this.function_name }
  api_dimensions     = { ApiName = aws_api_gateway_rest_api.this.name, Stage = aws_api_gateway_stage.this.stage_name }
  jobs_dimension     = { StateMachineArn = aws_sfn_state_machine.jobs.arn }

  alarms = merge(
    {
      errors = {
        description = "The function failed."
        namespace   = "AWS/Lambda", metric = "Errors", dimensions = local.function_dimension
        statistic   = "Sum", period = 300, threshold = 1
      }
      duration = {
        description = "A call took over nine tenths of the time after which it is ended."
        namespace   = "AWS/Lambda", metric = "Duration", dimensions = local.function_dimension
        statistic   = "Maximum", period = 300, threshold = var.lambda.timeout * 900
      }
      throttles = {
        description = "Calls were refused because too many ran at once."
        namespace   = "AWS/Lambda", metric = "Throttles", dimensions = local.function_dimension
        statistic   = "Sum", period = 300, threshold = 1
      }
      api-5xx = {
        description = "The API answered that the service failed."
        namespace   = "AWS/ApiGateway", metric = "5XXError", dimensions = local.api_dimensions
        statistic   = "Sum", period = 300, threshold = 1
      }
      api-latency = {
        description = "One of twenty answers took over 20 s; after 29 s the API gives up."
        namespace   = "AWS/ApiGateway", metric = "Latency", dimensions = local.api_dimensions
        statistic   = "p95", period = 300, threshold = 20000
      }
      failed-jobs = {
        description = "A job failed."
        namespace   = "AWS/States", metric = "ExecutionsFailed", dimensions = local.jobs_dimension
        statistic   = "Sum", period = 300, threshold = 1
      }
      timed-out-jobs = {
        description = "A job took longer than it may."
        namespace   = "AWS/States", metric = "ExecutionsTimedOut", dimensions = local.jobs_dimension
        statistic   = "Sum", period = 300, threshold = 1
      }
    },
    var.alarms.invocations_per_hour == null ? {} : {
      cost = {
        description = "The function is called more often than expected; each call costs money."
        namespace   = "AWS/Lambda", metric = "Invocations", dimensions = local.function_dimension
        statistic   = "Sum", period = 3600, threshold = var.alarms.invocations_per_hour
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = each.value.period
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  charts = [
    { title = "Requests", stat = "Sum", unit = "", metrics = [
      ["AWS/ApiGateway", "Count", "ApiName", local.name, "Stage", var.api_gateway_stage_name],
      ["AWS/ApiGateway", "4XXError", "ApiName", local.name, "Stage", var.api_gateway_stage_name],
      ["AWS/ApiGateway", "5XXError", "ApiName", local.name, "Stage", var.api_gateway_stage_name],
    ] },
    { title = "Latency of the API", stat = "p50", unit = "ms", metrics = [
      for stat in ["p50", "p90", "p99"] :
      ["AWS/ApiGateway", "Latency", "ApiName", local.name, "Stage", var.api_gateway_stage_name, { stat = stat, label = stat }]
    ] },
    { title = "Duration of the function", stat = "p50", unit = "ms", metrics = [
      for stat in ["p50", "p90", "p99", "Maximum"] :
      ["AWS/Lambda", "Duration", "FunctionName", local.function_name, { stat = stat, label = stat }]
    ] },
    { title = "Calls of the function", stat = "Sum", unit = "", metrics = [
      ["AWS/Lambda", "Invocations", "FunctionName", local.function_name],
      ["AWS/Lambda", "Errors", "FunctionName", local.function_name],
      ["AWS/Lambda", "Throttles", "FunctionName", local.function_name],
      ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", local.function_name, { stat = "Maximum" }],
    ] },
    { title = "Windows per second", stat = "p50", unit = "1/s", metrics = [
      for stat in ["p10", "p50", "p90"] :
      [local.function_name, "WindowsPerSecond", "service", local.function_name, { stat = stat, label = stat }]
    ] },
    { title = "Hours of audio analysed", stat = "Sum", unit = "h", metrics = [
      [{ expression = "seconds / 3600", label = "hours" }],
      [local.function_name, "AudioSeconds", "service", local.function_name, { id = "seconds", visible = false }],
    ] },
    { title = "Jobs", stat = "Sum", unit = "", metrics = [
      for metric in ["ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"] :
      ["AWS/States", metric, "StateMachineArn", local.state_machine_arn]
    ] },
    { title = "Duration of jobs", stat = "p50", unit = "ms", metrics = [
      for stat in ["p50", "p99"] :
      ["AWS/States", "ExecutionTime", "StateMachineArn", local.state_machine_arn, { stat = stat, label = stat }]
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.name
  dashboard_body = jsonencode({
    widgets = [for i, chart in local.charts : {
      type   = "metric"
      x      = 12 * (i % 2)
      y      = 6 * floor(i / 2)
      width  = 12
      height = 6
      properties = {
        title   = chart.title
        region  = var.aws_region
        view    = "timeSeries"
        stat    = chart.stat
        period  = 300
        metrics = chart.metrics
        yAxis   = { left = { min = 0, label = chart.unit } }
      }
    }]
  })
}
