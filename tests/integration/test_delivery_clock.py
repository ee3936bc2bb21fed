"""A lease holds from its beginning to its end by the device's clock, which faketime sets for the agent alone."""

import unittest

import test_delivery


class LeaseClock(test_delivery.Delivery):
    def setUp(self):
        super().setUp()
        self.device = self.server.enrol_agent("cam")

    def test_needs_no_server_while_the_lease_holds_and_has_no_model_after(self):
        self.server.create_task(test_delivery.deployed_task(lease="1h"))
        self.publish()
        self.fetch(self.device)
        self.server.stop()
        self.assertEqual(self.show(self.device)["version"], 1)
        self.assertEqual(self.show(self.device, under=["faketime", "-f", "+50m"])["version"], 1)
        gone = self.show(self.device, under=["faketime", "-f", "+61m"], expect=1)
        self.assertEqual(gone["code"], "gone")
        early = self.show(self.device, under=["faketime", "-f", "-1h"], expect=3)
        self.assertEqual(early["code"], "unavailable")


if __name__ == "__main__":
    unittest.main()
