terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}
provider "aws" {
  region = "eu-west-1"
}
variable "step" {
  default = 1
}
resource "aws_ec2_traffic_mirror_filter" "f" {
  description      = "all"
  network_services = var.step == 1 ? ["amazon-dns"] : []
  tags             = { Name = "f${var.step}", old = "x" }
}
resource "aws_ec2_traffic_mirror_filter_rule" "in" {
  traffic_mirror_filter_id = aws_ec2_traffic_mirror_filter.f.id
  traffic_direction        = "ingress"
  rule_number              = var.step
  rule_action              = "accept"
  source_cidr_block        = "0.0.0.0/0"
  destination_cidr_block   = "0.0.0.0/0"
  protocol                 = var.step == 1 ? 6 : 0
  dynamic "destination_port_range" {
    for_each = var.step == 1 ? [1] : []
    content {
      from_port = 22
      to_port   = 53
    }
  }
}
resource "aws_ec2_traffic_mirror_target" "t" {
  network_interface_id = "eni-00000000000000014"
  description          = "sensor"
  tags                 = var.step == 1 ? { Name = "t" } : {}
}
resource "aws_ec2_traffic_mirror_target" "nlb" {
  network_load_balancer_arn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:loadbalancer/net/sensors/0123456789abcdef"
}
resource "aws_ec2_traffic_mirror_session" "s" {
  description              = var.step == 1 ? "one" : null
  network_interface_id     = "eni-00000000000000001"
  session_number           = var.step
  traffic_mirror_filter_id = aws_ec2_traffic_mirror_filter.f.id
  traffic_mirror_target_id = var.step == 1 ? aws_ec2_traffic_mirror_target.t.id : aws_ec2_traffic_mirror_target.nlb.id
  packet_length            = var.step == 1 ? 100 : null
  virtual_network_id       = var.step == 1 ? 77 : null
  tags                     = { n = var.step }
}
