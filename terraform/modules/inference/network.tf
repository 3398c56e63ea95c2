# If the function has to be in a VPC: what it may reach there, and how it reaches S3 and Step Functions without the
# internet. These resources are made only with `vpc`.

locals {
  # The services that the function calls through interface endpoints; S3 has a gateway, which costs nothing. Lambda
  # itself pulls the image, and delivers logs and traces, from outside the VPC.
  interface_endpoints = toset(try(var.vpc.interface_endpoints, []))
}

resource "aws_security_group" "function" {
  count       = var.vpc == null ? 0 : 1
  name        = "${local.name}-function"
  description = "What the function may reach"
  vpc_id      = var.vpc.vpc_id
}

resource "aws_security_group" "endpoints" {
  count       = length(local.interface_endpoints) == 0 ? 0 : 1
  name        = "${local.name}-endpoints"
  description = "Who may reach the endpoints"
  vpc_id      = var.vpc.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  count             = length(aws_security_group.function)
  security_group_id = aws_security_group.function[0].id
  description       = "AWS by TLS, and nothing else"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0" # through its gateway, S3 has public addresses
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count                        = length(aws_security_group.endpoints)
  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "The function"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.function[0].id
}

resource "aws_vpc_endpoint" "s3" {
  count             = try(length(var.vpc.route_table_ids), 0) == 0 ? 0 : 1
  vpc_id            = var.vpc.vpc_id
  service_name      = "com.amazonaws.${var.aws_region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.vpc.route_table_ids
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.interface_endpoints
  vpc_id              = var.vpc.vpc_id
  service_name        = "com.amazonaws.${var.aws_region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.vpc.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
}
